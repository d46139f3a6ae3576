package nic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// message is one netlink message.
func message(kind, flags uint16, body []byte) []byte {
	m := make([]byte, unix.NLMSG_HDRLEN, 64)
	binary.NativeEndian.PutUint32(m, uint32(unix.NLMSG_HDRLEN+len(body)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], flags)
	m = append(m, body...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m
}

func attribute(kind int, value []byte) []byte { return nl.NewRtAttr(kind, value).Serialize() }

// replies gives one element a receive, then an error.
func replies(all ...[]byte) func([]byte) (int, error) {
	return func(buffer []byte) (int, error) {
		if len(all) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		n := copy(buffer, all[0])
		all = all[1:]
		return n, nil
	}
}

// A dump goes on to its end, whether or not its messages say that they are several.
func TestAnswersOfADump(t *testing.T) {
	genl := []byte{1, 1, 0, 0}
	one := message(40, 0, append(genl, attribute(1, []byte{7, 0, 0, 0})...))
	two := message(40, unix.NLM_F_MULTI, append(genl, attribute(1, []byte{8, 0, 0, 0})...))
	done := message(unix.NLMSG_DONE, 0, []byte{0, 0, 0, 0})
	all, err := answers(replies(append(one, two...), one, done))
	if err != nil || len(all) != 3 {
		t.Fatalf("%d messages, %v", len(all), err)
	}
	for i, want := range []uint32{7, 8, 7} {
		if got := value(all[i].uint32(1)); got != want {
			t.Errorf("message %d: %d, want %d", i, got, want)
		}
	}
	if _, err := answers(replies(one)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an answer without an end: %v", err)
	}
}

// An error has the kernel's errno and, with extended acknowledgements, its words.
func TestFailures(t *testing.T) {
	code := int32(-int32(unix.EINVAL))
	head := binary.NativeEndian.AppendUint32(nil, uint32(code))
	words := attribute(unix.NLMSGERR_ATTR_MSG, append([]byte("too large"), 0))
	original := message(40, 0, []byte{1, 1, 0, 0, 9, 9, 9, 9})
	for name, m := range map[string][]byte{
		"capped": message(unix.NLMSG_ERROR, unix.NLM_F_CAPPED|unix.NLM_F_ACK_TLVS, slicesOf(head, original[:unix.NLMSG_HDRLEN], words)),
		"whole":  message(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, slicesOf(head, original, words)),
	} {
		_, err := answers(replies(m))
		if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := answers(replies(message(unix.NLMSG_ERROR, 0, head))); err != unix.EINVAL {
		t.Errorf("without words: %v", err)
	}
	if _, err := answers(replies(message(unix.NLMSG_ERROR, 0, make([]byte, 4+unix.NLMSG_HDRLEN)))); err != nil {
		t.Errorf("an acknowledgement: %v", err)
	}
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestNumbersOfAnySize(t *testing.T) {
	e := binary.NativeEndian
	for _, test := range []struct {
		bytes []byte
		want  uint64
	}{{[]byte{9}, 9}, {e.AppendUint16(nil, 300), 300}, {e.AppendUint32(nil, 1<<31), 1 << 31}, {e.AppendUint64(nil, 1<<40), 1 << 40}} {
		if got := attrs(attribute(3, test.bytes)).number(3); got == nil || *got != test.want {
			t.Errorf("%v: %v, want %d", test.bytes, got, test.want)
		}
	}
	if got := attrs(attribute(3, []byte{1, 2, 3})).number(3); got != nil {
		t.Errorf("three bytes: %d", *got)
	}
	if got := attrs(attribute(3|unix.NLA_F_NESTED, []byte{5})).number(3); got == nil || *got != 5 {
		t.Errorf("with the flag for nested values: %v", got)
	}
}

func TestRSS(t *testing.T) {
	e := binary.NativeEndian
	var table []byte
	for i := range 8 {
		table = e.AppendUint32(table, uint32(i%3))
	}
	fields := append(attribute(4, e.AppendUint32(nil, 1<<4|1<<5|1<<6|1<<7)), attribute(6, e.AppendUint32(nil, 1<<4|1<<5))...)
	got := parseRSS(slicesOf(attribute(attrRSSFunction, e.AppendUint32(nil, 1)), attribute(attrRSSTable, table), attribute(attrRSSFields, fields)))
	want := &RSS{Function: "toeplitz", Queues: []uint32{0, 1, 2}, Entries: 8, Fields: map[string][]string{
		"tcp4": {"source", "destination", "source port", "destination port"}, "udp4": {"source", "destination"},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// FuzzAnswers: whatever comes, it is taken apart without reading outside, and
// attributes lie within their message.
func FuzzAnswers(f *testing.F) {
	f.Add(message(40, 0, append([]byte{1, 1, 0, 0}, attribute(1, []byte{7})...)))
	f.Add(message(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, make([]byte, 40)))
	f.Add(message(unix.NLMSG_DONE, 0, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, _, _ := split(data)
		total := 0
		for _, a := range all {
			total += len(a)
			inside := 0
			a.all(func(_ uint16, v attrs) { inside += unix.NLA_HDRLEN + len(v) })
			if inside > len(a) {
				t.Fatalf("%d bytes of attributes in %d", inside, len(a))
			}
			parseRSS(a)
		}
		if total > len(data) {
			t.Fatalf("%d bytes of messages in %d", total, len(data))
		}
	})
}
