package route_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"corbie/alerts/route"
	"corbie/munin"
)

func TestASilenceHoldsForTheNewNameAsWell(t *testing.T) {
	r := start(t, t.TempDir())
	silence := func(matchers ...route.Matcher) {
		t.Helper()
		_, err := r.Silence(t.Context(), route.Silence{
			Matchers: matchers, EndsAt: time.Now().Add(time.Hour), CreatedBy: "ann", Comment: "known",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(name, value string) route.Matcher { return route.Matcher{Name: name, Value: value} }
	silence(is("host", "www1"), is("group", "web"), is("graph", "df"))
	silence(is("host", "www1"), is("graph", "cpu"))
	silence(is("group", "web"))
	silence(is("host", "www1"), is("group", "mail"))
	silence(route.Matcher{Name: "host", Value: "www.*", Regex: true})
	for range 2 { // taken over a second time after a crash, it changes nothing
		if err := r.Rename(t.Context(), munin.SeriesID{Host: "web;www1"}, munin.SeriesID{Host: "shop;www2"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Rename(t.Context(), munin.SeriesID{Host: "shop;www2", Graph: "cpu"}, munin.SeriesID{Host: "shop;www2", Graph: "cpus"}); err != nil {
		t.Fatal(err)
	}
	all, err := r.Silences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		line := ""
		for _, m := range s.Matchers {
			line += fmt.Sprintf("%s=%s ", m.Name, m.Value)
		}
		got = append(got, line)
	}
	slices.Sort(got)
	want := []string{
		"group=web ", "host=www.* ", "host=www1 graph=cpu ", "host=www1 group=mail ", "host=www1 group=web graph=df ",
		"host=www2 graph=cpu ", "host=www2 graph=cpus ", "host=www2 group=shop graph=df ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("silences:\n%q, want\n%q", got, want)
	}
}
