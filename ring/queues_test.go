package ring

import (
	"testing"

	"github.com/xlvs/xlvs/internal/testnet"
)

func TestQueuesAreThoseOfTheDriver(t *testing.T) {
	ns, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := testnet.Pair(testnet.Veth{Namespace: ns, Name: "three", Queues: 3}, testnet.Veth{Namespace: ns, Name: "one"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"three": 3, "one": 1, "lo": 1} {
		if err := ns.Do(func() error {
			got, err := Queues(name)
			if got != want {
				t.Errorf("Queues(%q) = %d, want %d", name, got, want)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	if err := ns.Do(func() error { _, err := Queues("missing"); return err }); err == nil {
		t.Error("Queues of an interface that does not exist: no error")
	}
}
