package testnet

// TB is what Fresh needs of a test: a *testing.T, a *testing.B or a *rapid.T.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
}

// Fresh makes a namespace that goes with the test.
func Fresh(t TB) *Namespace {
	t.Helper()
	ns, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}
