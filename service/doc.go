// Package service has the nouns of a virtual server: virtual services, their
// real servers, the scheduler between them, and the table that finds the
// service of a packet in IPVS's order.
//
// The Director (package control) makes these values and never changes one
// that it has published: the packet path reads them from many threads without
// a lock. Only [Counts] moves, by atomics. Nothing here blocks.
package service
