package munin_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"corbie/munin"
)

func TestPluginStatesSurviveTheWire(t *testing.T) {
	states := []munin.PluginState{
		{Plugin: "df", Verb: "fetch", Ran: time.Unix(1_700_000_300, 0).UTC(), Took: 12 * time.Millisecond, Good: time.Unix(1_700_000_300, 0).UTC()},
		{Plugin: "if_eth0.100", Verb: "config", Ran: time.Unix(1_700_000_000, 0).UTC(), Took: time.Minute, ExitCode: -1, Failure: "timed out after 1m0s", Stderr: "no such table"},
	}
	body := munin.AppendPluginStates(nil, states)
	const want = "plugin\tverb\tran\ttook_ms\texit\tgood\tfailure\tstderr\n" +
		"df\tfetch\t1700000300\t12\t0\t1700000300\t-\t-\n" +
		"if_eth0.100\tconfig\t1700000000\t60000\t-1\t-\ttimed out after 1m0s\tno such table\n"
	if string(body) != want {
		t.Errorf("got\n%swant\n%s", body, want)
	}
	got, err := munin.ParsePluginStates(body)
	if err != nil || !slices.Equal(got, states) {
		t.Errorf("%v, %v", got, err)
	}
	if !got[1].Unhealthy() || got[0].Unhealthy() {
		t.Error("health is confused")
	}
}

func TestPluginStatesKeepTextShortAndPrintable(t *testing.T) {
	body := munin.AppendPluginStates(nil, []munin.PluginState{
		{Plugin: "x", Verb: "fetch", Stderr: "a\tb\nc\x1b[31m" + strings.Repeat("é", 500), Failure: "-"},
	})
	if n := strings.Count(string(body), "\n"); n != 2 {
		t.Fatalf("%d lines, want 2: %q", n, body)
	}
	got, err := munin.ParsePluginStates(body)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if s := got[0].Stderr; len(s) > 210 || !utf8.ValidString(s) || !strings.HasPrefix(s, "a bc[31m") || !strings.HasSuffix(s, "…") {
		t.Errorf("stderr %q", s)
	}
}

func TestPluginStatesOfANewerNodeAreRead(t *testing.T) {
	got, err := munin.ParsePluginStates([]byte("# a remark\r\nplugin\tnew\tverb\r\nload\tx\tfetch\r\n"))
	if err != nil || len(got) != 1 || got[0].Plugin != "load" || got[0].Verb != "fetch" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestPluginStatesThatCannotBeReadAreCounted(t *testing.T) {
	const head = "plugin\tverb\tran\ttook_ms\texit\n"
	got, err := munin.ParsePluginStates([]byte(head + "a\tfetch\t1\t1\t0\nb\tfetch\n../x\tfetch\t1\t1\t0\nc\tfetch\tx\t1\t0\nd\tquit\t1\t1\t0\ne\tfetch\t1\t-5\t0\n"))
	if len(got) != 1 || got[0].Plugin != "a" || err == nil || !strings.Contains(err.Error(), "5 of the lines") {
		t.Errorf("%v, %v", got, err)
	}
	for _, body := range []string{"", "# Unknown command\n", "nonsense\n"} {
		if got, err := munin.ParsePluginStates([]byte(body)); err == nil || got != nil {
			t.Errorf("%q gives %v, %v", body, got, err)
		}
	}
}

// FuzzParsePluginStates wants that what was read can be told again and is then the same.
func FuzzParsePluginStates(f *testing.F) {
	f.Add([]byte("plugin\tverb\tran\ttook_ms\texit\tgood\tfailure\tstderr\ndf\tfetch\t1700000300\t12\t0\t1700000300\t-\t-\n"))
	f.Add([]byte("plugin\tverb\nx\tconfig\ny\t\x80\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		states, err := munin.ParsePluginStates(body)
		if err != nil {
			return
		}
		for i := range states {
			if states[i].Verb == "" {
				states[i].Verb = "fetch"
			}
		}
		again, err := munin.ParsePluginStates(munin.AppendPluginStates(nil, states))
		if err != nil || !slices.Equal(again, states) {
			t.Fatalf("%v became %v, %v", states, again, err)
		}
	})
}
