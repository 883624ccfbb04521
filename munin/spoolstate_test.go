package munin_test

import (
	"testing"
	"time"

	"corbie/munin"
)

func TestTheStateOfASpoolComesBackAsItWasTold(t *testing.T) {
	at := func(n int64) time.Time { return time.Unix(n, 0).UTC() }
	for _, want := range []munin.SpoolState{
		{}, {Samples: 12, Bytes: 3456, Oldest: at(1_700_000_000), Newest: at(1_700_000_300), Fetched: at(1_700_000_200), Lost: 7, Damaged: 8, Failures: 9, Missed: 10},
	} {
		body := munin.AppendSpoolState(munin.AppendPluginStates(nil, []munin.PluginState{{Plugin: "load", Verb: "fetch"}}), want)
		got, err := munin.ParseSpoolState(body)
		if err != nil || got == nil || *got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if states, err := munin.ParsePluginStates(body); err != nil || len(states) != 1 {
			t.Errorf("the states of plugins beside it: %+v, %v", states, err)
		}
	}
	if got, err := munin.ParseSpoolState([]byte("# spools\nplugin\n")); got != nil || err != nil {
		t.Errorf("without a spool: %+v, %v", got, err)
	}
	if got, err := munin.ParseSpoolState([]byte("# spool new=x samples=3\n")); err != nil || got.Samples != 3 {
		t.Errorf("with a key that is not known: %+v, %v", got, err)
	}
	for _, wrong := range []string{"samples=-1", "lost=x", "newest=yesterday", "samples=99999999999999999999"} {
		if got, err := munin.ParseSpoolState([]byte("# spool " + wrong + "\n")); err == nil {
			t.Errorf("%s: %+v", wrong, got)
		}
	}
}

// FuzzParseSpoolState wants that what was read can be told again and is then the same.
func FuzzParseSpoolState(f *testing.F) {
	f.Add("# spool samples=1 lost=2 newest=1700000000\n")
	f.Add("# spool samples= =\n")
	f.Fuzz(func(t *testing.T, body string) {
		s, err := munin.ParseSpoolState([]byte(body))
		if err != nil || s == nil {
			return
		}
		again, err := munin.ParseSpoolState(munin.AppendSpoolState(nil, *s))
		if err != nil || again == nil || *again != *s {
			t.Errorf("%+v is %+v when it is told again, %v", s, again, err)
		}
	})
}
