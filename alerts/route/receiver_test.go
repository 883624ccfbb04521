package route_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"corbie/alerts/route"
	"corbie/munin"
)

const password = "correct-horse-battery"

func TestSecretsAreNeverShown(t *testing.T) {
	smtp, web := newSMTP(t, func(s *smtpServer) { s.tls, s.password = testCertificate(t), "another one" }), newHooks(t)
	web.refuse = []int{403, 403, 403, 403}
	gone := newHooks(t)
	gone.Close()
	receivers := []route.Receiver{
		{Name: "mail", Email: &route.Email{
			To: []string{"ops@example.com"}, From: "c@example.com", Host: "127.0.0.1", Port: smtp.port(), TLS: "mandatory",
			InsecureSkipVerify: true, Username: "corbie", Password: password,
		}},
		{Name: "token", Webhook: &route.Webhook{URL: munin.Secret(web.URL + "/" + password), Token: password}},
		{Name: "basic", Webhook: &route.Webhook{URL: munin.Secret(gone.URL + "/" + password), Username: "corbie", Password: password}},
		{Name: "cmd", Command: &route.Command{Argv: []string{"/does/not/exist"}, Env: map[string]munin.Secret{"TOKEN": password}}},
	}
	r := start(t, t.TempDir(), receivers...)
	r.tell(newThing("www1", "df", "root").is(99))
	waitFor(t, "a failure of each", func() bool {
		log := r.log.String()
		return strings.Count(log, "receiver=mail") > 0 && strings.Count(log, "receiver=token") > 0 &&
			strings.Count(log, "receiver=basic") > 0 && strings.Count(log, "receiver=cmd") > 0
	})
	r.stop()
	for _, text := range []string{r.log.String(), fmt.Sprintf("%v %+v %#v", receivers[0].Email, receivers[1].Webhook, receivers[3].Command)} {
		if strings.Contains(text, password) {
			t.Errorf("it shows the password:\n%s", text)
		}
	}
	text, err := json.Marshal(receivers)
	if err != nil || strings.Contains(string(text), password) {
		t.Errorf("it shows the password: %v, %s", err, text)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "password", munin.Secret(password))
	if strings.Contains(log.String(), password) {
		t.Error("it logs the password")
	}
	if !strings.Contains(r.log.String(), "authentication failed") {
		t.Errorf("the log does not show why the mail failed:\n%s", r.log)
	}
}

func TestMailGoesOverTLSWithAuthentication(t *testing.T) {
	smtp := newSMTP(t, func(s *smtpServer) { s.tls, s.password = testCertificate(t), password })
	r := start(t, t.TempDir(), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "Corbie <corbie@example.com>", Host: "127.0.0.1", Port: smtp.port(), TLS: "mandatory",
		InsecureSkipVerify: true, Username: "corbie", Password: password, Timeout: 10 * time.Second,
	}})
	x := newThing("www1", "df", "root")
	x.about.Label = "grün\r\nBcc: everybody@example.com"
	r.tell(x.is(99))
	m := receive(t, smtp.mails, "mail")
	if !m.secured || m.to != "ops@example.com" || !strings.Contains(m.from, "corbie@example.com") || m.msg.Header.Get("Bcc") != "" {
		t.Errorf("got %+v", m)
	}
	if got := subject(t, m); got != "CRITICAL www1 :: Disk usage :: grünBcc: everybody@example.com is 99 (over 95)" {
		t.Errorf("subject %q", got)
	}
}

func TestMailGoesOverImplicitTLS(t *testing.T) {
	smtp := newSMTP(t, func(s *smtpServer) { s.tls, s.implicit, s.password = testCertificate(t), true, password })
	r := start(t, t.TempDir(), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(), TLS: "implicit",
		InsecureSkipVerify: true, Username: "corbie", Password: password,
	}})
	r.tell(newThing("www1", "df", "root").is(99))
	if m := receive(t, smtp.mails, "mail"); !m.secured {
		t.Error("the mail came in the clear")
	}
}

func TestMandatoryTLSIsNotGivenUp(t *testing.T) {
	smtp := newSMTP(t)
	r := start(t, t.TempDir(), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(), TLS: "mandatory",
	}})
	r.tell(newThing("www1", "df", "root").is(99))
	waitFor(t, "a failure", func() bool {
		return strings.Contains(r.log.String(), "STARTTLS")
	})
	if len(smtp.mails) > 0 {
		t.Error("a mail went out in the clear")
	}
}

func TestHTMLFromPluginsIsShownAsText(t *testing.T) {
	smtp := newSMTP(t)
	r := start(t, t.TempDir(), route.Receiver{Name: "mail", Email: &route.Email{
		To: []string{"ops@example.com"}, From: "corbie@example.com", Host: "127.0.0.1", Port: smtp.port(),
	}})
	x := newThing("www1", "df", "root")
	x.about.Info, x.about.Title = "<script>alert(1)</script>", "<b>Disk</b>"
	r.tell(x.is(99))
	m := receive(t, smtp.mails, "mail")
	html := m.raw[strings.Index(m.raw, "text/html"):]
	if strings.Contains(html, "<script>") || strings.Contains(html, "<b>") || !strings.Contains(html, "&lt;script&gt;") {
		t.Errorf("the plugin's HTML is in the mail:\n%s", html)
	}
}

func TestWrongReceiversAreNamedAllAtOnce(t *testing.T) {
	_, err := route.New(route.Options{Dir: t.TempDir(), Receivers: []route.Receiver{
		{Name: "a"},
		{Name: "a", Webhook: &route.Webhook{URL: "ftp://" + password}},
		{Webhook: &route.Webhook{URL: "http://x"}},
		{Name: "b", On: []string{"ok", "loud"}, Command: &route.Command{Argv: []string{"mail"}}},
		{Name: "c", Email: &route.Email{To: []string{"nobody"}, Port: 70000, TLS: "maybe"}},
	}})
	if err == nil {
		t.Fatal("they were taken")
	}
	for _, want := range []string{
		`"a": it has neither`, `"a": the name is used twice`, "http://", "receiver 3 has no name", `"loud"`, `"ok"`, "absolute path",
		`"nobody"`, "70000", `"maybe"`, "SMTP server is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), password) {
		t.Errorf("the error shows a webhook's address:\n%v", err)
	}
	if _, err := route.New(route.Options{Dir: t.TempDir(), GroupBy: []string{"severity"}}); err == nil {
		t.Error("notices may not be grouped by level")
	}
}
