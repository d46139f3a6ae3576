package abi

// Holder implements Kernel.
func (Linux) Holder(ifindex int, queue uint32) string { return "" }
