package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// mailbox is an SMTP server that keeps what it is given.
type mailbox struct {
	address string
	mu      sync.Mutex
	mails   []string
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailbox{address: l.Addr().String()}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { m.session(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		sessions.Wait()
	})
	return m
}

// session speaks RFC 5321 with one client.
func (m *mailbox) session(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testenv.Patience))
	in := bufio.NewReader(conn)
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 mailbox.test ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		switch verb {
		case "EHLO":
			say("250-mailbox.test")
			say("250-8BITMIME")
			say("250 SMTPUTF8")
		case "HELO", "MAIL", "RCPT", "RSET", "NOOP":
			say("250 ok")
		case "DATA":
			say("354 go ahead")
			m.keep(in)
			say("250 kept")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("502 unknown")
		}
	}
}

func (m *mailbox) keep(in *bufio.Reader) {
	var mail strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			break
		}
		mail.WriteString(line)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, mail.String())
}

// received is every mail so far.
func (m *mailbox) received() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.mails...)
}

// hook is a webhook receiver that keeps the status of each alert group that it is sent.
type hook struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []string
	labels   []map[string]string // of the first alert of each
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct {
			Status string
			Alerts []struct{ Labels map[string]string }
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &message); err != nil {
			t.Errorf("webhook: %v in %s", err, body)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.statuses = append(h.statuses, message.Status)
		for _, a := range message.Alerts[:min(len(message.Alerts), 1)] {
			h.labels = append(h.labels, a.Labels)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) received() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.statuses...)
}

// notifyInterval is the time between two notices of one group.
const notifyInterval = 2 * time.Second

const receivers = `notify: {interval: 2s}
receivers:
  - name: oncall
    email:
      to: oncall@example.com
      from: corbie@example.com
      smarthost: %s
      tls: none
  - name: hook
    webhook:
      url: %s
`

// watch is a master with one host whose only plugin prints the value in a file, and two receivers.
type watch struct {
	mail  *mailbox
	hook  *hook
	value string // the file
	conf  string
	data  string
}

func newWatch(t *testing.T) *watch {
	t.Helper()
	w := &watch{mail: newMailbox(t), hook: newHook(t), data: t.TempDir()}
	plugins := testenv.PublicDir(t)
	w.value = filepath.Join(testenv.PublicDir(t), "value")
	testenv.WriteFile(t, w.value, "10\n", 0o644)
	testenv.WriteFile(t, filepath.Join(plugins, "queue"), `#!/bin/sh
if [ "$1" = config ]; then
	echo graph_title Mails in the queue
	echo graph_vlabel mails
	echo queue.label mails
	echo queue.warning 50
	echo queue.critical 100
	exit
fi
echo "queue.value $(cat `+w.value+`)"
`, 0o755)
	w.conf = writeConfig(t, startNode(t, plugins), fmt.Sprintf(receivers, w.mail.address, w.hook.URL))
	return w
}

// set changes the plugin's value.
func (w *watch) set(t *testing.T, value string) {
	t.Helper()
	testenv.WriteFile(t, w.value, value+"\n", 0o644)
}

// told waits until both receivers have got n notices.
func (w *watch) told(t *testing.T, n int) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%d notices by mail and webhook", n), func() bool {
		return len(w.mail.received()) >= n && len(w.hook.received()) >= n
	})
}

// settled waits for some more intervals of the notification pipeline, in which a duplicate would come.
func (w *watch) settled(t *testing.T, n int) {
	t.Helper()
	<-time.After(4 * notifyInterval)
	mails, hooks := w.mail.received(), w.hook.received()
	if len(mails) != n || len(hooks) != n {
		t.Fatalf("want %d notices on each way, got %d mails and %v by webhook:\n%s", n, len(mails), hooks, strings.Join(mails, "\n---\n"))
	}
}

func subject(mail string) string {
	for line := range strings.Lines(mail) {
		if rest, ok := strings.CutPrefix(line, "Subject: "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func TestOneNoticeAProblemOneARecovery(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	startMaster(t, w.data, w.conf)

	w.set(t, "120")
	w.told(t, 1)
	w.set(t, "10")
	w.told(t, 2)
	w.settled(t, 2)
	w.check(t)
}

// logged waits until the log of notices knows that both ways have told: a master that is killed before may tell again.
func (w *watch) logged(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "the log of notices has both ways", func() bool {
		text, err := os.ReadFile(filepath.Join(w.data, alertsFolder, "nflog"))
		return err == nil && strings.Contains(string(text), "email") && strings.Contains(string(text), "webhook")
	})
}

func TestKillBetweenNoticeAndRecoveryTellsEachOnce(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	master := startMaster(t, w.data, w.conf)
	w.set(t, "120")
	w.told(t, 1)
	w.logged(t)
	master.Kill()

	w.set(t, "10")
	startMaster(t, w.data, w.conf)
	w.told(t, 2)
	w.settled(t, 2)
	w.check(t)
}

func TestKillWhileTheProblemLastsDoesNotTellItAgain(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	master := startMaster(t, w.data, w.conf)
	w.set(t, "120")
	w.told(t, 1)
	w.logged(t)
	master.Kill()

	startMaster(t, w.data, w.conf)
	w.settled(t, 1)
	w.set(t, "10")
	w.told(t, 2)
	w.settled(t, 2)
	w.check(t)
}

// pictureIn reads the picture of a mail.
func pictureIn(t *testing.T, mail string) image.Config {
	t.Helper()
	_, rest, found := strings.Cut(mail, "Content-Type: image/png")
	_, body, _ := strings.Cut(rest, "\r\n\r\n")
	body, _, _ = strings.Cut(body, "\r\n--")
	text, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\r\n", ""))
	if err != nil || !found {
		t.Fatalf("the mail has no picture: %v\n%s", err, mail)
	}
	picture, err := png.DecodeConfig(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// check reads the two notices.
func (w *watch) check(t *testing.T) {
	t.Helper()
	mails, hooks := w.mail.received(), w.hook.received()
	if !strings.Contains(strings.ToLower(subject(mails[0])), "critical") || !strings.Contains(mails[0], "web1") {
		t.Errorf("the first mail does not say that web1 is critical:\n%s", mails[0])
	}
	if s := strings.ToLower(subject(mails[1])); !strings.Contains(s, "ok") && !strings.Contains(s, "recover") {
		t.Errorf("the second mail does not tell the recovery:\n%s", mails[1])
	}
	for i, mail := range mails {
		if picture := pictureIn(t, mail); picture.Width != 640 || picture.Height < 260 {
			t.Errorf("the picture of mail %d has %d × %d pixels", i, picture.Width, picture.Height)
		}
	}
	if hooks[0] != "firing" || hooks[1] != "resolved" {
		t.Errorf("webhook statuses %v, want firing and resolved", hooks)
	}
}
