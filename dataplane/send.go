package dataplane

import (
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/ring"
)

// frame is the frame of a descriptor; one without contents if the descriptor is not ours.
func (w *Worker) frame(d ring.Desc) Frame {
	buffer, start := w.umem.Whole(d)
	if buffer == nil {
		return Frame{}
	}
	return Frame{Buffer: buffer, Start: start, End: start + d.Len}
}

// send puts frame i of the batch with those that leave by a port.
func (w *Worker) send(number uint8, i int, d ring.Desc) {
	p := &w.ports[number]
	if len(p.out) == cap(p.out) { // fragments are more than the batch had frames
		w.transmit(p)
	}
	p.out, p.of = append(p.out, d), append(p.of, uint16(i))
}

// maxFragments is in how many frames a packet may leave: one of 4096 bytes by the least
// MTU of IPv4 (RFC 791, 3.2).
const maxFragments = 4096 / 48

// sendFragments is send for a frame that is longer than its way out takes. Each fragment but
// the first has a frame of its own. If there are too few, the packet is dropped.
func (w *Worker) sendFragments(i int, d ring.Desc) {
	v, frame := &w.verdicts[i], &w.frames[i]
	b, l3 := frame.Bytes(), w.forwarder.packetAt(i)
	cut, ok := packet.NewCut(b[l3:], int(v.MTU))
	if !ok || !w.take(cut.Count()-1, l3+int(v.MTU)) {
		w.umem.Free(d)
		w.forwarder.undo(v, NoFrames)
		w.forwarder.counters.notes[Fragmented]--
		return
	}
	for n := range w.fragments {
		own := &w.fragments[n]
		into := w.umem.Bytes(*own)
		own.Len = uint32(l3 + cut.Next(into[copy(into, b[:l3]):]))
	}
	w.send(v.Port, i, w.umem.Part(d, frame.Start, frame.Start+uint32(l3+cut.First())))
	for _, d := range w.fragments {
		w.send(v.Port, i, d)
	}
}

// take takes n frames for so many bytes each into fragments, or none at all.
func (w *Worker) take(n, length int) bool {
	w.fragments = w.fragments[:0]
	for range min(n, maxFragments) {
		if d, ok := w.umem.Alloc(uint32(length)); ok {
			w.fragments = append(w.fragments, d)
		}
	}
	if len(w.fragments) == n {
		return true
	}
	for _, d := range w.fragments {
		w.umem.Free(d)
	}
	return false
}

// transmit hands a port's frames to its socket; what does not fit is dropped.
func (w *Worker) transmit(p *port) {
	sent, reason := 0, NoEgress
	if p.socket != nil {
		sent, reason = p.socket.Transmit(p.out), TransmitFull
	}
	for n, d := range p.out[sent:] {
		w.umem.Free(d)
		w.forwarder.undo(&w.verdicts[p.of[sent+n]], reason)
	}
	p.out, p.of = p.out[:0], p.of[:0]
}
