package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
)

func TestThatLevelsCannotBeEvaluatedIsSaidOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log, j := slog.New(slog.NewTextHandler(&out, nil)), &judging{}
		for range 150 { // seconds
			for _, host := range []munin.HostID{"a", "b"} {
				j.note(log, host, errors.New("no room"))
			}
			time.Sleep(time.Second) //nolint:forbidigo // the clock of the bubble
		}
		j.note(log, "a", nil)
		if strings.Contains(out.String(), "again") {
			t.Errorf("it says that it works while one host still fails:\n%s", out.String())
		}
		j.note(log, "b", nil)
		j.note(log, "b", nil)
		if n := strings.Count(out.String(), "level=ERROR"); n != 3 || !strings.Contains(out.String(), "failed=241 hosts=2") {
			t.Errorf("said %d times, want 3:\n%s", n, out.String())
		}
		if n := strings.Count(out.String(), "kept again\" failed=300"); n != 1 {
			t.Errorf("its end is said %d times:\n%s", n, out.String())
		}
	})
}
