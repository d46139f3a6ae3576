package bpf

// Check reports what Update would refuse, without changing anything.
func Check(rules []Rule, services []Service) error {
	_, err := compile(rules, services)
	return err
}
