package table

import "time"

// store is a table under measurement. Clients are numbers; the table makes its key
// from the number, and remembers for each client the server serverOf. The
// methods may be called from several goroutines at once, but for settle, expire and close.
type store interface {
	// insert puts clients in.
	insert(clients []uint32)
	// lookup returns how many of the clients are found with their server.
	lookup(clients []uint32) (found int)
	// assign is what a worker does with a client that may be new: it returns the server
	// that the table has, or else puts in server and returns what holds from now on.
	assign(client, server uint32) uint32
	// settle waits until what was put in is in.
	settle()
	// expire lets all entries be over and removes them. It returns how many are left.
	expire() (left int)
	// memory is how many bytes lie outside of Go's heap.
	memory() int
	close()
}

// kind is a table that can be measured.
type kind struct {
	name        string
	description string // how it is set up
	noExpire    string // why removing what is over cannot be timed; empty if it can
	open        func(capacity int) (store, error)
}

// ours is the name of the director's own table.
const ours = "xlvs"

var kinds = []kind{kindXLVS, kindRistretto, kindOtter, kindXsync, kindXsync64, kindSyncMap}

const (
	servers = 8
	// lifetime is an entry's. No entry is over before expire says so.
	lifetime = 15 * time.Minute
)

// serverOf is the server of a client, 1 to servers.
func serverOf(client uint32) uint32 { return client%servers + 1 }

// clientKey is a client's address and port in 48 bits: 16 ports an address.
func clientKey(client uint32) uint64 {
	return uint64(0x0a000000+client/16)<<16 | uint64(clientPort(client))
}

// connection is the whole key of a connection, the protocol included.
type connection struct{ addresses, ports uint64 }

// connectionKey is the key of a client's connection to the virtual address.
func connectionKey(client uint32) connection {
	const vip, port, tcp = 203<<24 | 113<<8 | 10, 80, 6
	return connection{
		addresses: uint64(0x0a000000+client/16)<<32 | vip,
		ports:     uint64(clientPort(client))<<32 | port<<16 | tcp,
	}
}

func clientPort(client uint32) uint16 { return uint16(1024 + client%16) }

// lease is what a map remembers, which has no expiry of its own.
type lease struct {
	server  uint32
	expires uint32 // in seconds
}

// leaseFor is one that is over after lifetime.
func leaseFor(server uint32) lease { return lease{server, uint32(lifetime / time.Second)} }

// afterLife is a time when all leases are over, in seconds.
const afterLife = uint32(lifetime/time.Second) + 1
