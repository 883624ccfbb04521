package route_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/alerts"
	"corbie/alerts/route"
	"corbie/munin"
)

func TestAProblemAndItsRecoveryReachEveryReceiverOnce(t *testing.T) {
	smtp, web := newSMTP(t), newHooks(t)
	ops := route.Receiver{
		Name:    "ops",
		Email:   &route.Email{To: []string{"Ops <ops@example.com>"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port()},
		Webhook: &route.Webhook{URL: munin.Secret(web.URL)},
	}
	r := start(t, t.TempDir(), ops)
	root := newThing("web;eu;www1", "df", "root")
	r.tell(root.is(97.2))
	problem := receive(t, smtp.mails, "mail")
	if got := subject(t, problem); got != "CRITICAL www1 :: Disk usage :: /root is 97.2 (over 95)" {
		t.Errorf("subject %q", got)
	}
	for _, want := range []string{"97.2 is above 95", "Disk usage (df)", "web;eu", "How full the disks are", "ask Anna", "text/html", "http://mon.example.com:8080/h/web=3Beu=3Bwww1/df"} {
		if !strings.Contains(problem.raw, want) && !strings.Contains(strings.ReplaceAll(problem.raw, "%3B", "=3B"), want) {
			t.Errorf("the mail lacks %q:\n%s", want, problem.raw)
		}
	}
	first := web.expect(t, "firing", "firing www1:df.root critical")
	if first.Version != "4" || first.Receiver != "ops" || first.GroupLabels["group"] != "web;eu" || first.Alerts[0].Labels["alertname"] != "df" ||
		first.Alerts[0].GeneratorURL != "http://mon.example.com:8080/h/web%3Beu%3Bwww1/df" || !first.Alerts[0].StartsAt.Equal(root.state.OpenSince) {
		t.Errorf("webhook %+v", first)
	}
	r.tell(root.again(), root.again())
	r.tell(root.is(42))
	recovery := receive(t, smtp.mails, "mail")
	if got := subject(t, recovery); got != "OK www1 :: Disk usage :: /root is 42" {
		t.Errorf("subject %q", got)
	}
	if id := problem.msg.Header.Get("Message-Id"); id == "" || recovery.msg.Header.Get("References") != id || recovery.msg.Header.Get("In-Reply-To") != id {
		t.Errorf("the recovery is no reply to %q: %v", id, recovery.msg.Header)
	}
	second := web.expect(t, "resolved", "resolved www1:df.root critical")
	if !second.Alerts[0].EndsAt.Equal(root.state.Changed) || second.Alerts[0].Fingerprint != first.Alerts[0].Fingerprint || second.GroupKey != first.GroupKey {
		t.Errorf("webhook %+v", second)
	}
	r.nothingMore(web, smtp)
	if !strings.Contains(r.log.String(), "queued as TEST1") {
		t.Errorf("the log does not show the server's reply:\n%s", r.log)
	}
}

func TestARestartBetweenProblemAndRecoveryDoublesNeither(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root := newThing("www1", "df", "root")
	r.tell(root.is(99))
	web.expect(t, "firing", "firing www1:df.root critical")
	r.restart(root.again())
	r.nothingMore(web)
	r.restart(root.again())
	r.tell(root.is(1))
	web.expect(t, "resolved", "resolved www1:df.root critical")
	r.restart(root.again())
	r.nothingMore(web)
}

func TestWhatChangedWhileTheRouterWasDownIsToldOnce(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root, home := newThing("www1", "df", "root"), newThing("www2", "df", "home")
	r.tell(root.is(85), home.is(99))
	receive(t, web.got, "webhook")
	receive(t, web.got, "webhook")
	root.is(99) // saved, but not told before the crash
	home.is(1)
	r.restart(root.again(), home.again())
	got := []string{}
	for range 2 {
		got = append(got, receive(t, web.got, "webhook").lines()...)
	}
	slices.Sort(got)
	if want := []string{"firing www1:df.root critical", "resolved www1:df.root warning", "resolved www2:df.home critical"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	r.nothingMore(web)
}

func TestAChangeOfLevelIsOneNotice(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root := newThing("www1", "df", "root")
	for _, round := range []struct {
		value  float64
		status string
		lines  []string
	}{
		{85, "firing", []string{"firing www1:df.root warning"}},
		{99, "firing", []string{"firing www1:df.root critical", "resolved www1:df.root warning"}},
		{85, "firing", []string{"firing www1:df.root warning", "resolved www1:df.root critical"}},
		{99, "firing", []string{"firing www1:df.root critical", "resolved www1:df.root warning"}},
		{1, "resolved", []string{"resolved www1:df.root critical"}},
	} {
		r.tell(root.is(round.value))
		web.expect(t, round.status, round.lines...)
	}
	r.nothingMore(web)
}

func TestProblemsOfOneGraphComeInOneNotice(t *testing.T) {
	web, smtp := newHooks(t), newSMTP(t)
	r := start(t, t.TempDir(), webhookTo(web), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(),
	}})
	var notices []alerts.Notice
	var things []*thing
	for i := range 60 {
		x := newThing("www1", "df", fmt.Sprintf("disk%d", i))
		things = append(things, x)
		notices = append(notices, x.is(99))
	}
	r.tell(notices...)
	if got := receive(t, web.got, "webhook"); len(got.Alerts) != 60 {
		t.Errorf("%d alerts", len(got.Alerts))
	}
	mail := receive(t, smtp.mails, "mail")
	if got := subject(t, mail); got != "CRITICAL www1 :: Disk usage :: 60 problems" || !strings.Contains(mail.raw, "and 10 more.") {
		t.Errorf("subject %q", got)
	}
	// One of them is over; the others stay in the message, as receivers of Alertmanager's JSON expect.
	r.tell(things[0].is(1))
	if got := receive(t, web.got, "webhook"); got.Status != "firing" || len(got.Alerts) != 60 {
		t.Errorf("%s, %d alerts", got.Status, len(got.Alerts))
	}
	if got := subject(t, receive(t, smtp.mails, "mail")); got != "OK www1 :: Disk usage :: /disk0 is 1" {
		t.Errorf("subject %q", got)
	}
}

func TestAProblemThatIsOverBeforeItIsToldIsNotTold(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root := newThing("www1", "df", "root")
	r.stop()
	r.run()
	r.tell(root.is(99), root.is(1))
	r.nothingMore(web)
}

func TestReceiversHearWhatTheyWant(t *testing.T) {
	all, urgent, silent := newHooks(t), newHooks(t), newHooks(t)
	r := start(t, t.TempDir(),
		route.Receiver{Name: "all", Webhook: &route.Webhook{URL: munin.Secret(all.URL)}},
		route.Receiver{Name: "urgent", On: []string{"critical", "recovery"}, Webhook: &route.Webhook{URL: munin.Secret(urgent.URL)}},
		route.Receiver{Name: "noend", On: []string{"critical"}, Webhook: &route.Webhook{URL: munin.Secret(silent.URL)}})
	root, home := newThing("www1", "df", "root"), newThing("www2", "df", "home")
	r.tell(home.is(85))
	all.expect(t, "firing", "firing www2:df.home warning")
	r.tell(home.is(1)) // only a warning: its recovery is for those who heard of it
	all.expect(t, "resolved", "resolved www2:df.home warning")
	r.tell(root.is(99))
	for _, h := range []*hooks{all, urgent, silent} {
		h.expect(t, "firing", "firing www1:df.root critical")
	}
	r.tell(root.is(85)) // better, but not over
	all.expect(t, "firing", "firing www1:df.root warning", "resolved www1:df.root critical")
	r.tell(root.is(99))
	all.expect(t, "firing", "firing www1:df.root critical", "resolved www1:df.root warning")
	r.tell(root.is(1))
	all.expect(t, "resolved", "resolved www1:df.root critical")
	urgent.expect(t, "resolved", "resolved www1:df.root critical")
	r.nothingMore(all, urgent)
	r.tell(root.is(99)) // a second problem is told again to who hears no recoveries
	for got := range 2 {
		m := receive(t, silent.got, "webhook")
		if m.Status != "firing" {
			t.Errorf("notice %d: %s %q", got, m.Status, m.lines())
		}
	}
}

func TestASilenceStopsNoRecovery(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root, home := newThing("www1", "df", "root"), newThing("www1", "load", "load")
	r.tell(root.is(99))
	web.expect(t, "firing", "firing www1:df.root critical")
	ctx := context.Background()
	id, err := r.Silence(ctx, route.Silence{
		Matchers: []route.Matcher{{Name: "host", Value: "www1"}}, EndsAt: time.Now().Add(time.Hour),
		CreatedBy: "anna", Comment: "new disk",
	})
	if err != nil {
		t.Fatal(err)
	}
	r.restart(root.again()) // silences survive
	r.tell(root.is(1), home.is(99))
	web.expect(t, "resolved", "resolved www1:df.root critical")
	r.nothingMore(web)
	r.tell(home.is(1)) // neither told
	r.nothingMore(web)
	r.tell(home.is(99))
	r.nothingMore(web)
	list, err := r.Silences(ctx)
	if err != nil || len(list) != 1 || list[0].ID != id || list[0].Comment != "new disk" {
		t.Fatalf("silences %+v, %v", list, err)
	}
	if err := r.EndSilence(ctx, id); err != nil {
		t.Fatal(err)
	}
	web.expect(t, "firing", "firing www1:load.load critical")
	if _, err := r.Silence(ctx, route.Silence{EndsAt: time.Now().Add(time.Hour)}); err == nil {
		t.Error("a silence without owner and reason was taken")
	}
}

func TestAReceiverThatFailsDelaysNoOther(t *testing.T) {
	web, sick := newHooks(t), newHooks(t)
	gone := newHooks(t)
	gone.Close()
	sick.refuse = []int{500, 503}
	smtp := newSMTP(t, func(s *smtpServer) { s.refuse, s.hangup = []string{"451 try again later"}, true })
	r := start(t, t.TempDir(), webhookTo(web),
		route.Receiver{Name: "sick", Webhook: &route.Webhook{URL: munin.Secret(sick.URL)}},
		route.Receiver{Name: "gone", Webhook: &route.Webhook{URL: munin.Secret(gone.URL)}},
		route.Receiver{Name: "mail", Email: &route.Email{To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port()}})
	root := newThing("www1", "df", "root")
	r.tell(root.is(99))
	web.expect(t, "firing", "firing www1:df.root critical")
	r.tell(root.is(1))
	web.expect(t, "resolved", "resolved www1:df.root critical")
	root.is(99)
	r.tell(root.again())
	web.expect(t, "firing", "firing www1:df.root critical")
	sick.expect(t, "firing", "firing www1:df.root critical")
	receive(t, smtp.mails, "mail")
	r.nothingMore(web, sick, smtp)
}

func TestReloadChangesReceivers(t *testing.T) {
	web, more := newHooks(t), newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	root := newThing("www1", "df", "root")
	r.tell(root.is(99))
	web.expect(t, "firing", "firing www1:df.root critical")
	if err := r.Reload([]route.Receiver{{Name: "bad"}}); err == nil {
		t.Error("a receiver without a way was taken")
	}
	err := r.Reload([]route.Receiver{webhookTo(web), {Name: "more", Webhook: &route.Webhook{URL: munin.Secret(more.URL)}}})
	if err != nil {
		t.Fatal(err)
	}
	more.expect(t, "firing", "firing www1:df.root critical")
	r.nothingMore(web, more)
	r.tell(root.is(1))
	web.expect(t, "resolved", "resolved www1:df.root critical")
	more.expect(t, "resolved", "resolved www1:df.root critical")
}

func TestARepeatedNoticeComesAgain(t *testing.T) {
	web := newHooks(t)
	r := start(t, t.TempDir(), webhookTo(web))
	r.stop()
	r.opts.Repeat = 200 * time.Millisecond
	r.run()
	root := newThing("www1", "df", "root")
	r.tell(root.is(99))
	for range 3 {
		web.expect(t, "firing", "firing www1:df.root critical")
	}
	r.tell(root.is(1))
	for {
		if got := receive(t, web.got, "webhook"); got.Status == "resolved" {
			break
		}
	}
}

func TestASilentHostIsToldByItsName(t *testing.T) {
	smtp := newSMTP(t)
	r := start(t, t.TempDir(), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"a@example.com", "b@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(),
	}})
	state := munin.AlertState{ID: munin.SeriesID{Host: "web;www1"}}
	state, _ = alerts.StepHost(state, true, "has not answered since noon: connection refused", time.Now())
	r.tell(alerts.Notice{State: state, Event: alerts.Problem})
	to := []string{}
	for range 2 {
		m := receive(t, smtp.mails, "mail")
		to = append(to, m.to)
		if got := subject(t, m); got != "CRITICAL www1 does not answer" || !strings.Contains(m.raw, "connection refused") {
			t.Errorf("subject %q", got)
		}
	}
	slices.Sort(to)
	if !slices.Equal(to, []string{"a@example.com", "b@example.com"}) {
		t.Errorf("sent to %q", to)
	}
	state, _ = alerts.StepHost(state, false, "", time.Now())
	r.tell(alerts.Notice{State: state, Event: alerts.Recovery, From: munin.Critical})
	if got := subject(t, receive(t, smtp.mails, "mail")); got != "OK www1 answers again" {
		t.Errorf("subject %q", got)
	}
}
