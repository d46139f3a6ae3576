// Package packettest writes packets as sentences, for tests and generators:
//
//	frame := packettest.IPv4("192.0.2.1", "203.0.113.10").TCP(1024, 80).SYN().VLAN(5).Frame(t)
//
// and says the same way what a frame must look like:
//
//	packettest.Check(t, got, packettest.HasDstMAC(real), packettest.UnchangedExceptMACs(frame))
//
// A [Packet] is a value: each method returns a changed copy, so that a common
// beginning can be kept and continued in several ways. What it says is written
// by gopacket, so that package packet is not tested against itself. It
// allocates freely and never belongs on the packet path.
package packettest
