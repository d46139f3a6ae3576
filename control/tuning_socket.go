package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// maxSettings bounds a request: a setting for each of a thousand interfaces.
const maxSettings = 1 << 18

// maxTrial is the longest trial of settings. Who tries asks again before it ends.
const maxTrial = time.Hour

func getTuning(w http.ResponseWriter, r *http.Request, src source) {
	t, err := src.tuningNow(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	answer(w, t)
}

func putTuning(w http.ResponseWriter, r *http.Request, src source) {
	var trial time.Duration
	if text := r.URL.Query().Get("trial"); text != "" {
		var err error
		if trial, err = time.ParseDuration(text); err != nil || trial <= 0 || trial > maxTrial {
			http.Error(w, "trial "+text+": want a time up to "+maxTrial.String(), http.StatusUnprocessableEntity)
			return
		}
	}
	var s Settings
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSettings))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		http.Error(w, "settings: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	t, err := src.setTuning(r.Context(), &s, trial)
	var refused refusal
	switch {
	case errors.As(err, &refused):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		answer(w, t)
	}
}

// tuningNow implements source.
func (d *Director) tuningNow(ctx context.Context) (t *Tuning, err error) {
	err = d.do(ctx, func() { t = d.currentTuning() })
	return t, err
}

// setTuning implements source.
func (d *Director) setTuning(ctx context.Context, s *Settings, trial time.Duration) (t *Tuning, err error) {
	if ran := d.do(ctx, func() {
		if err = d.request(s, trial); err == nil {
			t = d.currentTuning()
		}
	}); ran != nil {
		return nil, ran
	}
	return t, err
}

// errStopping is the answer to a request that comes when it is too late.
var errStopping = errors.New("the director is stopping")

// do runs f on the goroutine of Run and waits for it. After an error f has not
// run, nor will it.
func (d *Director) do(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	select {
	case d.requests <- func() { f(); close(ran) }:
		<-ran // the goroutine has it, and finishes what it begins
		return nil
	case <-d.ended:
		return errStopping
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
