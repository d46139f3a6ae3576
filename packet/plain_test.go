package packet

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

// plainFrames are the least frames that the shortcuts take.
func plainFrames() [][]byte {
	tcp4 := slices.Concat(make([]byte, 12), []byte{8, 0, // Ethernet
		0x45, 0xb8, 0, 40, 0, 7, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 203, 0, 113, 10, // IPv4
		4, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x12, 0xff, 0xff, 0, 0, 0, 0}) // TCP
	udp4 := slices.Concat(tcp4[:34], []byte{4, 0, 0, 53, 0, 8, 0, 0})
	udp4[17], udp4[23] = 28, 17
	tcp6 := slices.Concat(make([]byte, 12), []byte{0x86, 0xdd, // Ethernet
		0x6b, 0x80, 0, 0, 0, 20, 6, 64}, []byte("client's address"), []byte("virtual address!"), // IPv6
		tcp4[34:])
	udp6 := slices.Concat(tcp6[:54], udp4[34:])
	udp6[19], udp6[20] = 8, 17
	return [][]byte{tcp4, udp4, tcp6, udp6}
}

// TestShortcutsAreTaken by the least packets, and with padding.
func TestShortcutsAreTaken(t *testing.T) {
	for _, frame := range plainFrames() {
		for _, padding := range []int{0, 20} {
			b := append(slices.Clip(frame[EthernetLen:]), make([]byte, padding)...)
			var p Parsed
			if taken := frame[EthernetLen]>>4 == 4 && plain4(b, &p) || frame[EthernetLen]>>4 == 6 && plain6(b, &p); !taken {
				t.Errorf("not taken by % x", frame)
			}
		}
	}
}

// FuzzShortcuts wants the shortcuts never to be noticed.
func FuzzShortcuts(f *testing.F) {
	for _, frame := range plainFrames() {
		f.Add(frame)
		f.Add(append(bytes.Clone(frame), 1, 2, 3))
		f.Add(frame[:len(frame)-1])
	}
	f.Fuzz(agreeOn)
}

// TestShortcutsAgreeOnDamagedFrames damages each byte of the seeds in turn, in
// ways that matter.
func TestShortcutsAgreeOnDamagedFrames(t *testing.T) {
	damage := []byte{0, 1, 0xff, 0x0f, 0xf0, 4, 6, 7, 8, 17, 20, 21, 0x45, 0x46, 0x60}
	for _, frame := range plainFrames() {
		for length := range len(frame) + 1 {
			agreeOn(t, frame[:length])
		}
		for i := range frame {
			for _, d := range damage {
				damaged := bytes.Clone(frame)
				damaged[i] = d
				agreeOn(t, damaged)
			}
		}
	}
}

func agreeOn(t *testing.T, frame []byte) {
	t.Helper()
	frame = frame[:min(len(frame), MaxFrame)]
	var fast, slow Parsed
	got, want := Parse(slices.Clip(frame), &fast), parseAny(frame, &slow)
	if got != want || fast != slow {
		t.Fatalf("% x: %v %+v\nwithout shortcuts: %v %+v", frame, got, fast, want, slow)
	}
}

// TestParsedIsOneCacheLine: a batch of them is written and read by each stage.
func TestParsedIsOneCacheLine(t *testing.T) {
	if size := reflect.TypeFor[Parsed]().Size(); size != 64 {
		t.Errorf("%d bytes, want 64", size)
	}
}
