package route_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"corbie/alerts"
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

// renames is a thing with a problem, and its receivers: people who get mails, and a program.
type renames struct {
	*router
	smtp *smtpServer
	web  *hooks
	old  *thing
}

func newRenames(t *testing.T) *renames {
	t.Helper()
	smtp, web := newSMTP(t), newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(),
	}})
	return &renames{router: r, smtp: smtp, web: web, old: newThing("web;www1", "df", "root")}
}

// rename does what the master does: the router first, and then what the evaluator tells.
func (r *renames) rename(from, to munin.SeriesID) *thing {
	r.t.Helper()
	if err := r.Rename(r.t.Context(), from, to); err != nil {
		r.t.Fatal(err)
	}
	fresh := newThing("", "", "")
	fresh.about, fresh.state = r.old.about, r.old.state
	fresh.state.ID = munin.Renamed(r.old.state.ID, from, to)
	ended := r.old.state
	ended.Open, ended.Changed, ended.Reason = munin.OK, time.Now(), "it is called "+fresh.state.ID.String()+" now"
	r.tell(alerts.Notice{State: ended, Event: alerts.Recovery, From: r.old.state.Open, Graph: r.old.about, Renamed: true},
		alerts.Notice{State: fresh.state, Event: alerts.Problem, Graph: fresh.about, Renamed: true})
	return fresh
}

func TestARenameIsToldToProgramsAndNotToPeople(t *testing.T) {
	for name, c := range map[string]struct{ from, to munin.SeriesID }{
		"host":  {munin.SeriesID{Host: "web;www1"}, munin.SeriesID{Host: "shop;www2"}},
		"graph": {munin.SeriesID{Host: "web;www1", Graph: "df"}, munin.SeriesID{Host: "web;www1", Graph: "disks"}},
		"field": {munin.SeriesID{Host: "web;www1", Graph: "df", Field: "root"}, munin.SeriesID{Host: "web;www1", Graph: "df", Field: "home"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenames(t)
			r.tell(r.old.is(97))
			began := receive(t, r.smtp.mails, "mail")
			r.web.expect(t, "firing", "firing www1:df.root critical")

			fresh := r.rename(c.from, c.to)
			id := fresh.state.ID
			line := fmt.Sprintf("%s:%s.%s critical", id.Host.Name(), id.Graph, id.Field)
			got := []string{}
			for len(got) < 2 { // in one message, or in two
				got = append(got, receive(t, r.web.got, "webhook").lines()...)
			}
			slices.Sort(got)
			if want := []string{"firing " + line, "resolved www1:df.root critical"}; !slices.Equal(got, want) {
				t.Errorf("the program was told %q, want %q", got, want)
			}
			r.restart(fresh.again())
			r.tell(fresh.is(10))
			ended := receive(t, r.smtp.mails, "mail")
			if text := subject(t, ended); text != "OK "+id.Host.Name()+" :: Disk usage :: /root is 10" {
				t.Errorf("the next mail is %q", text)
			}
			if ended.msg.Header.Get("References") != began.msg.Header.Get("Message-Id") {
				t.Error("it is not in the thread of the problem")
			}
			r.web.expect(t, "resolved", "resolved "+line)
			r.nothingMore(r.web, r.smtp)
		})
	}
}

func TestTwoProblemsThatBecomeOneHaveTwoRecoveries(t *testing.T) {
	r := newRenames(t)
	into := newThing("web;www2", "df", "root")
	r.tell(r.old.is(97), into.is(98))
	for range 2 {
		receive(t, r.smtp.mails, "mail")
		receive(t, r.web.got, "webhook")
	}
	from, to := munin.SeriesID{Host: "web;www1"}, munin.SeriesID{Host: "web;www2"}
	if err := r.Rename(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	ended := r.old.state
	ended.Open, ended.Changed, ended.Reason = munin.OK, time.Now(), "it is called web;www2 now"
	r.tell(alerts.Notice{State: ended, Event: alerts.Recovery, From: munin.Critical, Graph: r.old.about, Renamed: true})
	if text := subject(t, receive(t, r.smtp.mails, "mail")); text != "OK www1 :: Disk usage :: /root is 97" {
		t.Errorf("the first recovery is %q", text)
	}
	r.web.expect(t, "resolved", "resolved www1:df.root critical")
	r.tell(into.is(3))
	if text := subject(t, receive(t, r.smtp.mails, "mail")); text != "OK www2 :: Disk usage :: /root is 3" {
		t.Errorf("the second recovery is %q", text)
	}
	r.web.expect(t, "resolved", "resolved www2:df.root critical")
}
