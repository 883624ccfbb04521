package route

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/wneessen/go-mail"
)

// emailSender sends mail to one address.
type emailSender struct {
	to       string
	from     string
	host     string
	implicit *tls.Config // TLS from the first byte, when not nil
	options  []mail.Option
	artist   *artist // nil: no pictures
}

func newEmail(e *Email, to string) (*emailSender, error) {
	s := &emailSender{to: to, from: e.From, host: e.Host}
	s.options = []mail.Option{mail.WithTimeout(orDefault(e.Timeout)), mail.WithoutNoop()}
	port, config := 25, &tls.Config{
		ServerName: e.Host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: e.InsecureSkipVerify, //nolint:gosec // only when the administrator says so
	}
	policy := mail.TLSOpportunistic
	switch e.TLS {
	case "implicit":
		port, s.implicit = 465, config
	case "mandatory":
		policy = mail.TLSMandatory
	case "none":
		policy = mail.NoTLS
	}
	if e.Port > 0 {
		port = e.Port
	}
	s.options = append(s.options, mail.WithPort(port), mail.WithTLSPolicy(policy), mail.WithTLSConfig(config))
	if e.Hello != "" {
		s.options = append(s.options, mail.WithHELO(e.Hello))
	}
	if e.Username != "" {
		s.options = append(s.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(e.Username), mail.WithPassword(string(e.Password)))
	}
	if _, err := mail.NewClient(e.Host, s.options...); err != nil {
		return nil, fmt.Errorf("email: %w", err)
	}
	return s, nil
}

func (s *emailSender) send(ctx context.Context, m *message) (reply string, retry bool, err error) {
	s.artist.pictures(ctx, m)
	letter, err := s.letter(m)
	if err != nil {
		return "", false, fmt.Errorf("email: %w", err)
	}
	dial := &dialler{implicit: s.implicit}
	defer dial.close()
	client, err := mail.NewClient(s.host, append(slices.Clip(s.options), mail.WithDialContextFunc(dial.dial))...)
	if err != nil {
		return "", false, fmt.Errorf("email: %w", err)
	}
	// The library heeds ctx only until the connection stands.
	stop := context.AfterFunc(ctx, dial.close)
	defer stop()
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return "", true, fmt.Errorf("email by %s: %w", client.ServerAddr(), err)
	}
	// What the server says to QUIT does not matter: it has answered for the mail by then.
	defer func() { _ = client.CloseWithSMTPClient(session) }()
	if err := client.SendWithSMTPClient(session, letter); err != nil {
		var failure *mail.SendError
		retry := !errors.As(err, &failure) || failure.IsTemp()
		return "", retry, fmt.Errorf("email by %s: %w", client.ServerAddr(), err)
	}
	return letter.ServerResponse(), false, nil
}

// dialler makes one connection and sees to it that it is closed: the library leaves it open when TLS or the
// authentication fails.
type dialler struct {
	implicit *tls.Config
	mu       sync.Mutex
	conn     net.Conn
	closed   bool
}

func (d *dialler) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	var err error
	if d.implicit != nil {
		conn, err = (&tls.Dialer{Config: d.implicit}).DialContext(ctx, network, address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	d.conn = conn
	return conn, nil
}

func (d *dialler) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.conn != nil {
		_ = d.conn.Close() // often closed already
	}
}

func (s *emailSender) letter(m *message) (*mail.Msg, error) {
	letter := mail.NewMsg()
	if err := errors.Join(letter.From(s.from), letter.To(s.to)); err != nil {
		return nil, err
	}
	letter.Subject(m.subject())
	letter.SetDate()
	letter.SetMessageIDWithValue(m.id)
	if m.thread != m.id {
		letter.SetGenHeader(mail.HeaderInReplyTo, "<"+m.thread+">")
		letter.SetGenHeader(mail.HeaderReferences, "<"+m.thread+">")
	}
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetUserAgent("Corbie")
	text, html, err := m.bodies()
	if err != nil {
		return nil, err
	}
	letter.SetBodyString(mail.TypeTextPlain, text)
	letter.AddAlternativeString(mail.TypeTextHTML, html)
	return letter, embed(letter, m.drawn)
}

// messageID is the same for the same news to the same address, so that a mail system can see a doubled mail.
func messageID(target string, m *message, entry *nflogpb.Entry) string {
	parts := []string{target, m.group, m.plan.reason.String()}
	for _, it := range m.plan.changed {
		parts = append(parts, it.notice.State.Key(), it.from.String(), it.level.String(),
			it.notice.State.OpenSince.UTC().String(), it.notice.State.Changed.UTC().String())
	}
	if len(m.plan.changed) == 0 {
		parts = append(parts, entry.GetTimestamp().AsTime().String()) // a reminder
	}
	slices.Sort(parts[3:])
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16]) + "@" + hostOf(m.base)
}

// bareAddress is the address without a name, for logs and keys.
func bareAddress(text string) string {
	if a, err := netmail.ParseAddress(text); err == nil {
		return a.Address
	}
	return text
}

// buildTargets makes the ways of telling every receiver.
func buildTargets(receivers []Receiver, options Options) (map[string]*target, error) {
	if err := validate(receivers); err != nil {
		return nil, err
	}
	targets := make(map[string]*target)
	add := func(r *Receiver, way string, s sender) {
		t := &target{receiver: r.Name, way: way, on: r.On, wants: r.Wants, sender: s}
		_, t.people = s.(*emailSender)
		targets[t.key()] = t
	}
	var errs []error
	artist := newArtist(options)
	for i := range receivers {
		r := &receivers[i]
		if r.Email != nil {
			for _, to := range r.Email.To {
				s, err := newEmail(r.Email, to)
				errs = append(errs, err)
				if s != nil && r.Email.Pictures {
					s.artist = artist
				}
				add(r, "email to "+bareAddress(to), s)
			}
		}
		if r.Webhook != nil {
			s, err := newWebhook(r.Webhook, options.ExternalURL)
			errs = append(errs, err)
			add(r, "webhook", s)
		}
		if r.Command != nil {
			s, err := newCommand(r.Command, options.ExternalURL)
			errs = append(errs, err)
			add(r, "command", s)
		}
	}
	return targets, errors.Join(errs...)
}
