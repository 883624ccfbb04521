package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
	"corbie/storage/series"
)

func TestThePageOfAHostSaysThatItsValuesHaveTimesThatCannotBe(t *testing.T) {
	t.Parallel()
	plugins := testenv.PublicDir(t)
	plugin := func(name, shift string) {
		testenv.WriteFile(t, filepath.Join(plugins, name), "#!/bin/sh\nif [ \"$1\" = config ]; then echo f.label f; echo g.label g; exit; fi\n"+
			"now=$(date +%s)\necho f.value $((now "+shift+")):5\necho g.value $((now "+shift+" - 60)):6\n", 0o755)
	}
	plugin("early", "+ 86400")
	plugin("late", "- 20 * 86400")
	master := startMaster(t, t.TempDir(), writeConfig(t, startNode(t, plugins), ""))
	var page string
	shows := func(text string) func() bool {
		return func() bool {
			answer, err := new(http.Client).Get(master.url() + "/h/web1")
			if err != nil {
				return false
			}
			body, err := io.ReadAll(answer.Body)
			page = string(body)
			return err == nil && answer.Body.Close() == nil && strings.Contains(page, text)
		}
	}
	testenv.Eventually(t, "those ahead are told once", shows("values whose time is in the future are not stored, 2 in the last answer: set the clock of the node"))
	testenv.Eventually(t, "those behind are told", shows("older than what is still accepted"))
	if n := strings.Count(page, "time is in the future"); n != 1 {
		t.Errorf("the page says it %d times", n)
	}
}

func TestRefusalsOfAHostAreToldUntilItHasGoneWellForTwoHours(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	reject := func(host munin.HostID, reason series.Reason, since time.Duration) series.Reject {
		last := munin.Reading{ID: munin.SeriesID{Host: host, Graph: "load", Field: "load"}, Point: munin.Point{T: now.Add(time.Hour).UnixMilli()}}
		return series.Reject{Host: host, Reason: reason, Count: 3, Last: last, At: now.Add(-since)}
	}
	got := refusals([]series.Reject{
		reject("a", series.TooFarAhead, time.Minute), reject("a", series.Conflict, time.Minute), reject("a", series.TooOld, 3*time.Hour),
		reject("b", series.TooOld, time.Minute),
	}, nil, "a", now)
	const want = "load: 3 values of this host could not be stored since the master was started, the last one 1 min ago: more than 10 minutes in the future: check the clock of the node"
	if len(got) != 1 || got[0].Text != "load 2026-03-01T13:00:00Z" || !strings.HasPrefix(got[0].String(), want) {
		t.Errorf("%v", got)
	}
}
