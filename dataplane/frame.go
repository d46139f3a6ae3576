package dataplane

// Frame is one frame of a batch. Its contents are Buffer[Start:End]; what is before
// Start is headroom, into which the frame may grow at its front. Forward may move Start
// and End.
type Frame struct {
	Buffer     []byte
	Start, End uint32
}

// FrameOf is the frame with these contents, and with no room around them.
func FrameOf(contents []byte) Frame { return Frame{Buffer: contents, End: uint32(len(contents))} }

// Bytes is the frame's contents.
func (f *Frame) Bytes() []byte { return f.Buffer[f.Start:f.End] }

// insert makes room for n bytes behind the first at ones, which move into the headroom.
// It is false, and the frame as it was, if that is too small. The room holds anything.
func (f *Frame) insert(at, n int) bool {
	if int(f.Start) < n {
		return false
	}
	start := f.Start - uint32(n)
	copy(f.Buffer[start:], f.Buffer[f.Start:int(f.Start)+at])
	f.Start = start
	return true
}

// remove takes n bytes out, behind the first at ones.
func (f *Frame) remove(at, n int) {
	b := f.Bytes()
	copy(b[n:n+at], b[:at])
	f.Start += uint32(n)
}

// leastFrame is the length of the shortest Ethernet frame, its check sequence aside
// (IEEE 802.3, 4.2.3.3).
const leastFrame = 60

// shorten makes the frame n bytes long. One that had the least length of Ethernet keeps
// it, with zeros.
func (f *Frame) shorten(n int) {
	b := f.Bytes()
	if padded := min(len(b), leastFrame); n < padded {
		clear(b[n:padded])
		n = padded
	}
	f.End = f.Start + uint32(n)
}
