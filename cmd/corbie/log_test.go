package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnErrorOfEveryPollDoesNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newLogger(&out, false)
		for host := range 1000 {
			log.With("host", host).Error("readings were not stored")
			log.Warn("a poll was given up", "host", host)
		}
		log.Error("another error")
		if n := strings.Count(out.String(), "not stored"); n != errorsAtOnce {
			t.Errorf("%d lines of one error, want %d", n, errorsAtOnce)
		}
		if n := strings.Count(out.String(), "given up"); n != 1000 {
			t.Errorf("%d warnings, want all", n)
		}
		if !strings.Contains(out.String(), "another error") {
			t.Error("another error is left out as well")
		}
		time.Sleep(errorsWithin) //nolint:forbidigo // the clock of the bubble
		out.Reset()
		log.Error("readings were not stored")
		if !strings.Contains(out.String(), "left_out=995") {
			t.Errorf("it does not say how many were left out: %s", out.String())
		}
	})
}
