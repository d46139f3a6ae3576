package config

import "errors"

// Check holds a configuration that was changed after it was read against the rules
// of its keys. The error has the messages alone: there are no places to name.
func (c *Config) Check() error {
	_, err := Parse("settings", c.Marshal())
	var all Errors
	if !errors.As(err, &all) {
		return err
	}
	var errs []error
	for _, e := range all {
		errs = append(errs, errors.New(e.Message))
	}
	return errors.Join(errs...)
}
