package bpf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

func openTables(tb testing.TB, pins *Pins, bytes int) *TableMemory {
	tb.Helper()
	m, err := OpenTables(pins, bytes)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	return m
}

func TestTablesSurvive(t *testing.T) {
	dir := newPinDir(t)
	pins := openPins(t, dir)
	first := openTables(t, pins, 1<<20+1)
	if want := 1<<20 + os.Getpagesize(); first.Existed() || len(first.Bytes()) != want {
		t.Fatalf("existed %t, %d bytes, want %d new ones", first.Existed(), len(first.Bytes()), want)
	}
	last := len(first.Bytes()) - 1
	first.Bytes()[0], first.Bytes()[last] = 1, 2
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	// Another size is for the caller to notice.
	second := openTables(t, pins, 4096)
	if b := second.Bytes(); !second.Existed() || len(b) != last+1 || b[0] != 1 || b[last] != 2 {
		t.Fatalf("existed %t, %d bytes", second.Existed(), len(b))
	}

	third, err := ReplaceTables(pins, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if b := third.Bytes(); third.Existed() || len(b) != 4096 || b[0] != 0 {
		t.Errorf("replaced: existed %t, %d bytes", third.Existed(), len(b))
	}
	if second.Bytes()[last] != 2 {
		t.Error("replacing took the memory away under its user")
	}
	if err := errors.Join(third.Remove(), pins.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s after Remove: %v", dir, err)
	}
}

// A program looks up the same bytes that the workers map: cell n is at n*64.
func TestTablesAreCells(t *testing.T) {
	m := openTables(t, nil, 4096)
	m.Bytes()[3*tableCell+5] = 42
	cell, err := m.array.LookupBytes(uint32(3))
	if err != nil || len(cell) != tableCell || cell[5] != 42 {
		t.Errorf("cell 3: % x, %v", cell, err)
	}
	if m.Existed() {
		t.Error("ephemeral tables existed")
	}
}

func TestTablesRefused(t *testing.T) {
	for bytes, want := range map[int]string{
		0:             "from 1 to",
		-1:            "from 1 to",
		maxTables:     "from 1 to",
		1<<32*50 - 64: "memory are available",
	} {
		if _, err := OpenTables(nil, bytes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v, want %q in it", bytes, err, want)
		}
	}
}

func TestForeignTablesAreRefused(t *testing.T) {
	dir := newPinDir(t)
	pins := openPins(t, dir)
	other, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 64, MaxEntries: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Pin(filepath.Join(dir, tablesPin)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTables(pins, 4096); err == nil || !strings.Contains(err.Error(), "not xlvs's") {
		t.Error(err)
	}
}

func TestParseAvailable(t *testing.T) {
	got, err := parseAvailable("MemTotal:       24684000 kB\nMemFree:        100 kB\nMemAvailable:   2048 kB\n")
	if err != nil || got != 2<<20 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parseAvailable("MemTotal: 1 kB\n"); err == nil {
		t.Error("found MemAvailable where there is none")
	}
}
