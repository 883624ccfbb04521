package configure_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"corbie/node/configure"
)

// agent has values by their object identifiers.
type agent map[string]string

var errAway = errors.New("no answer")

func (a agent) Value(_ context.Context, oid string) (string, bool, error) {
	if a == nil {
		return "", false, errAway
	}
	value, ok := a[oid]
	return value, ok, nil
}

func (a agent) Column(_ context.Context, oid string) (map[string]string, error) {
	if a == nil {
		return nil, errAway
	}
	column := make(map[string]string)
	for key, value := range a {
		if row, ok := strings.CutPrefix(key, oid+"."); ok {
			column[row] = value
		}
	}
	return column, nil
}

func (a agent) Close() error { return nil }

// probe asks the agent of one host.
func probe(t *testing.T, p *configure.Plugin, host string, a agent) []error {
	t.Helper()
	silent, err := configure.ProbeHosts(t.Context(), []*configure.Plugin{p}, []string{host},
		func(context.Context, string) (configure.Agent, error) { return a, nil })
	if err != nil {
		t.Fatal(err)
	}
	return silent
}

func TestAnSNMPPluginIsSuggestedForAgentsThatOfferWhatItNeeds(t *testing.T) {
	here := agent{
		"1.1.0": "Linux", "1.2.0": "", "2.1.1": "1", "2.1.2": "2", "2.1.3": "3",
		"2.3.1": "24", "2.3.2": "6", "2.3.3": "6", "2.8.3": "1",
	}
	f := func(name, conf string, want ...string) {
		t.Helper()
		p := &configure.Plugin{Name: name, Path: "/lib/" + name, SNMPConf: true}
		p.TakeSNMPConf(strings.Split(conf, "\n"))
		if silent := probe(t, p, "switch1:1161", here); len(silent) > 0 || len(p.Faults) > 0 {
			t.Errorf("%v, %q", silent, p.Faults)
		}
		var got []string
		for _, change := range configure.Plan([]*configure.Plugin{p}, false) {
			got = append(got, change.Link)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q: %s", got, want, p.Suggestion())
		}
	}
	f("snmp__load", "require 1.1.0", "snmp_switch1:1161_load")
	f("snmp__load", "require .1.1.0 ^Lin\n\nrequire 1.2.0", "snmp_switch1:1161_load")
	f("snmp__load", "require 1.1.0 ^Win")
	f("snmp__load", "require 1.1.0\nrequire 1.9.0")
	f("snmp__load", "")
	f("snmp__users", "require 2.3. ^6$", "snmp_switch1:1161_users")
	f("snmp__users", "require 2.3. ^7$")
	f("snmp__users", "require 2.4.")
	f("snmp__if_", "index 2.1.\nrequire 2.3.  ^6$ ", "snmp_switch1:1161_if_2", "snmp_switch1:1161_if_3")
	f("snmp__if_", "require 1.1.0\nindex 2.1.\nrequire 2.3.\nrequire 2.8.", "snmp_switch1:1161_if_3")
	f("snmp__if_", "require 1.9.0\nindex 2.1.")
}

func TestAnAgentThatDoesNotAnswerSuggestsNothing(t *testing.T) {
	for _, conf := range []string{"require 1.1.0", "require 2.1."} {
		p := &configure.Plugin{Name: "snmp__load", SNMPConf: true}
		p.TakeSNMPConf([]string{conf})
		if silent := probe(t, p, "away", nil); len(silent) != 1 || !errors.Is(silent[0], errAway) || p.Useful || p.Answered {
			t.Errorf("%s: %v, %+v", conf, silent, p)
		}
	}
}

func TestHostsThatAnswerAreSuggestedBesidesThoseThatDoNot(t *testing.T) {
	p := &configure.Plugin{Name: "snmp__load", Path: "/lib/snmp__load", SNMPConf: true, Links: []string{"snmp_away_load", "snmp_b_load", "snmp_c_load", "snmp_other_load"}}
	mute := &configure.Plugin{Name: "other", Path: "/lib/other"}
	err := configure.SurveySNMP(t.Context(), answers{"snmp__load snmpconf": says("# what it needs\nrequire 1.1.0\n")},
		[]*configure.Plugin{p, mute}, configure.SurveyOptions{})
	if err != nil || len(p.Needs.Values) != 1 || len(mute.Faults) > 0 {
		t.Fatalf("%v, %+v, %+v", err, p, mute)
	}
	dial := func(_ context.Context, host string) (configure.Agent, error) {
		switch host {
		case "a", "b":
			return agent{"1.1.0": "x"}, nil
		case "other":
			return agent{}, nil
		}
		return nil, errAway
	}
	silent, err := configure.ProbeHosts(t.Context(), []*configure.Plugin{p}, []string{"b", "away", "other", "a"}, dial)
	if err != nil || len(silent) != 1 || silent[0].Error() != "away: no answer" {
		t.Errorf("%v, %v", silent, err)
	}
	if got, want := p.Suggestion(), "yes (away b c +a -other)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if changes := configure.Plan([]*configure.Plugin{p}, true); len(changes) != 2 || changes[1].Link != "snmp_other_load" {
		t.Errorf("links of hosts that were not asked are touched: %v", changes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := configure.ProbeHosts(ctx, []*configure.Plugin{p}, []string{"a"}, dial); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestWrongSNMPConfIsAFaultOfThePlugin(t *testing.T) {
	f := func(name, conf, want string) {
		t.Helper()
		p := &configure.Plugin{Name: name, SNMPConf: true}
		p.TakeSNMPConf(strings.Split(conf, "\n"))
		if !strings.Contains(strings.Join(p.Faults, "\n"), want) {
			t.Errorf("%q: faults %q, want %q", conf, p.Faults, want)
		}
		if silent := probe(t, p, "host", agent{"1.1.0": "x", "1.1.1": "y"}); len(silent) > 0 || p.Useful {
			t.Errorf("%q is of use all the same: %v", conf, silent)
		}
	}
	f("snmp__a", "require ifIndex.", "not an object identifier")
	f("snmp__a", "require 1..2", "not an object identifier")
	f("snmp__a", "require 1.1.0 (", "the pattern")
	f("snmp__a", "number 1.1.0", "unknown word")
	f("snmp__a", "index 1.1.", "for plugins whose name ends with an underscore")
	f("snmp__a_", "index 1.1.0", "it ends with a dot")
	f("snmp__a_", "index 1.1.\nindex 1.2.", "an index already: 1.1")
	f("snmp__a_", "require 1.1.", "needs an index")
	f("snmp__a", strings.Repeat("require 1.1.0\n", 200), "more than 100 lines")
}

func TestAnAgentCannotChooseTheNamesOfLinks(t *testing.T) {
	p := &configure.Plugin{Name: "snmp__if_", Path: "/lib/snmp__if_", SNMPConf: true}
	p.TakeSNMPConf([]string{"index 2.1."})
	silent := probe(t, p, "switch1", agent{"2.1.1": "../../x", "2.1.2": "'; rm", "2.1.3": "a\nb"})
	if changes := configure.Plan([]*configure.Plugin{p}, false); len(silent) != 0 || len(changes) != 0 || len(p.Faults) != 3 {
		t.Errorf("%v, %v, %q", silent, changes, p.Faults)
	}
}

func TestHostsAndNetworksAreSpelledOut(t *testing.T) {
	got, err := configure.ExpandHosts([]string{"switch1", "192.0.2.6/30", "2001:db8::1", "192.0.2.9/32"})
	want := []string{"switch1", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7", "2001:db8::1", "192.0.2.9"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"", "/24", "192.0.2.1/33", "192.0.2.1/8", "192.0.2.1/x", "2001:db8::/64", "switch1/24"} {
		if hosts, err := configure.ExpandHosts([]string{bad}); err == nil {
			t.Errorf("%q gave %d hosts", bad, len(hosts))
		}
	}
}
