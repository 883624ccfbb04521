package route_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
)

// smtpServer speaks enough SMTP to take mails over from a real client.
type smtpServer struct {
	t        *testing.T
	listener net.Listener
	mails    chan received
	tls      *tls.Config // offered as STARTTLS when not nil
	implicit bool        // TLS from the first byte instead
	password string      // required when not empty

	mu      sync.Mutex
	refuse  []string // replies to the next mails' data, instead of taking them over
	hangup  bool     // close instead of answering QUIT
	refused int
}

type received struct {
	from, to string
	msg      *mail.Message
	raw      string
	secured  bool
}

func newSMTP(t *testing.T, prepare ...func(s *smtpServer)) *smtpServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &smtpServer{t: t, listener: listener, mails: make(chan received, 100)}
	for _, f := range prepare {
		f(s)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return s
}

func (s *smtpServer) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func testCertificate(t *testing.T) *tls.Config {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}
}

type smtpSession struct {
	conn   net.Conn
	in     *bufio.Scanner
	mail   received
	authed bool
}

func (s *smtpServer) serve(conn net.Conn) {
	c := &smtpSession{conn: conn, authed: s.password == ""}
	if s.implicit {
		c.conn, c.mail.secured = tls.Server(conn, s.tls), true
	}
	c.in = bufio.NewScanner(c.conn)
	defer func() { c.conn.Close() }()
	c.say("220 test ESMTP")
	for c.in.Scan() {
		if !s.command(c, c.in.Text()) {
			return
		}
	}
}

func (c *smtpSession) say(line string) { fmt.Fprintf(c.conn, "%s\r\n", line) }

func (s *smtpServer) command(c *smtpSession, line string) bool {
	verb := strings.ToUpper(line)
	switch {
	case strings.HasPrefix(verb, "EHLO"):
		c.say("250-test")
		if s.tls != nil && !c.mail.secured {
			c.say("250-STARTTLS")
		}
		if s.password != "" {
			c.say("250-AUTH PLAIN")
		}
		c.say("250 8BITMIME")
	case verb == "STARTTLS":
		c.say("220 go ahead")
		c.conn = tls.Server(c.conn, s.tls)
		c.in, c.mail.secured = bufio.NewScanner(c.conn), true
	case strings.HasPrefix(verb, "AUTH PLAIN "):
		secret, _ := base64.StdEncoding.DecodeString(line[len("AUTH PLAIN "):])
		c.authed = strings.HasSuffix(string(secret), "\x00"+s.password)
		if c.authed {
			c.say("235 welcome")
		} else {
			c.say("535 authentication failed")
		}
	case !c.authed && verb != "QUIT":
		c.say("530 authentication required")
	case strings.HasPrefix(verb, "MAIL FROM:"):
		c.mail.from = line[len("MAIL FROM:"):]
		c.say("250 ok")
	case strings.HasPrefix(verb, "RCPT TO:"):
		c.mail.to = strings.Trim(line[len("RCPT TO:"):], "<>")
		c.say("250 ok")
	case verb == "DATA":
		return s.data(c)
	case verb == "QUIT":
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.hangup {
			c.say("221 bye")
		}
		return false
	default:
		c.say("250 ok")
	}
	return true
}

func (s *smtpServer) data(c *smtpSession) bool {
	c.say("354 go on")
	var body strings.Builder
	for c.in.Scan() && c.in.Text() != "." {
		body.WriteString(strings.TrimPrefix(c.in.Text(), ".") + "\r\n")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refuse) > 0 {
		c.say(s.refuse[0])
		s.refuse = s.refuse[1:]
		s.refused++
		return true
	}
	c.mail.raw = body.String()
	msg, err := mail.ReadMessage(strings.NewReader(c.mail.raw))
	if err != nil {
		s.t.Errorf("a mail that cannot be read: %v", err)
	}
	c.mail.msg = msg
	s.mails <- c.mail
	c.say("250 2.0.0 queued as TEST1")
	return true
}

// next waits for a mail and says which host its subject names.
func (s *smtpServer) next(t *testing.T) string {
	t.Helper()
	words := strings.Fields(subject(t, receive(t, s.mails, "mail")))
	return words[1]
}
