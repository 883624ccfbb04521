package route_test

import (
	"strings"
	"testing"
	"time"

	"corbie/alerts/route"
)

func TestMatchersAreReadAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"host=www1", "host!=www1", "graph=~df.*", "graph!~df.*", "host=", "alertname=a=b!~c"} {
		m, err := route.ParseMatcher(text)
		if err != nil || m.String() != text {
			t.Errorf("%q is read as %q, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "host", "=x", "host!x", "!="} {
		if m, err := route.ParseMatcher(text); err == nil {
			t.Errorf("%q is read as %+v", text, m)
		}
	}
}

func TestASilenceMustMeanSomething(t *testing.T) {
	f := func(want string, matchers ...string) {
		t.Helper()
		s := route.Silence{EndsAt: time.Now().Add(time.Hour), CreatedBy: "ann", Comment: "why"}
		for _, text := range matchers {
			m, err := route.ParseMatcher(text)
			if err != nil {
				t.Fatal(err)
			}
			s.Matchers = append(s.Matchers, m)
		}
		err := s.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", matchers, err, want)
		}
	}
	f("", "host=www1")
	f("", "host=www1", "group=")
	f("", "graph=~df.+")
	f("", "host!=")
	f("silence everything", "group=")
	f("silence everything", "host=~.*")
	f("silence everything", "host!=www1")
	f("silence everything")
	f("no name of a label", "a b=c")
	f("missing closing", "host=~(")
}

func FuzzParseMatcher(f *testing.F) {
	for _, seed := range []string{"host=www1", "host!~(", "=", "a=~[", "graph!=\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := route.ParseMatcher(text)
		if err != nil {
			return
		}
		if again, err := route.ParseMatcher(m.String()); err != nil || again != m {
			t.Errorf("%q becomes %+v, then %+v, %v", text, m, again, err)
		}
		s := route.Silence{EndsAt: time.Now(), CreatedBy: "a", Comment: "b", Matchers: []route.Matcher{m}}
		_ = s.Check()
	})
}
