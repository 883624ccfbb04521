package route

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"corbie/munin"
)

// The words of Receiver.On besides the names of the levels.
const onRecovery = "recovery"

// Receiver is somebody to be told, in one or several ways. Each way, and each address of Email, is told on its
// own: one that fails delays no other.
type Receiver struct {
	// Name identifies the receiver in the notification log; renaming one means that it is told of all open
	// problems anew.
	Name string
	// On says what is told: "warning", "critical", "unknown" and "recovery"; empty means all four. A receiver
	// that was told of a problem is told when it is over, not when its level falls to one that is not listed.
	On []string
	// Wants picks the problems that are told at all; nil means every one. It may be called by several goroutines.
	Wants   func(id munin.SeriesID) bool `json:"-"`
	Email   *Email
	Webhook *Webhook
	Command *Command
}

// Email sends mail by SMTP, one for each address.
type Email struct {
	To   []string // bare addresses, or with a name: "Ops <ops@example.com>"
	From string
	Host string // of the SMTP server
	Port int    // 0: 25, or 465 with TLS "implicit"
	// TLS is "opportunistic" (the default: STARTTLS where offered), "mandatory", "implicit" or "none".
	TLS                string
	InsecureSkipVerify bool   // accept any certificate
	Username           string // empty: no authentication
	Password           munin.Secret
	Hello              string        // name said in EHLO; empty: the machine's
	Pictures           bool          // whether mails show the graphs, where Options.Picture can draw them
	Timeout            time.Duration // of one attempt; 0: 30 s
}

// Webhook posts Alertmanager's webhook JSON, version 4.
type Webhook struct {
	URL                munin.Secret // http or https
	Username           string
	Password           munin.Secret
	Token              munin.Secret  // sent as Authorization: Bearer
	InsecureSkipVerify bool          // accept any certificate
	Timeout            time.Duration // of one attempt; 0: 30 s
}

// Command runs a program without a shell. It reads the webhook's JSON on its standard input, and the main things
// in CORBIE_… variables.
type Command struct {
	Argv    []string // the program's absolute path and its arguments, taken as they are
	Env     map[string]munin.Secret
	Timeout time.Duration // 0: 30 s
	// Template makes the arguments templates in the language of munin.Message, as Munin's contacts are, and lets the program
	// read Text instead of JSON; an empty Text means Munin's usual one.
	Template bool
	Text     string
}

const defaultTimeout = 30 * time.Second

func orDefault(d time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return defaultTimeout
}

// validate finds everything that is wrong with the receivers.
func validate(receivers []Receiver) error {
	var errs []error
	seen := make(map[string]bool)
	for i := range receivers {
		r := &receivers[i]
		if r.Name == "" {
			errs = append(errs, fmt.Errorf("receiver %d has no name", i+1))
			continue
		}
		if seen[r.Name] {
			errs = append(errs, fmt.Errorf("receiver %q: the name is used twice", r.Name))
		}
		seen[r.Name] = true
		if err := r.validate(); err != nil {
			errs = append(errs, fmt.Errorf("receiver %q: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Receiver) validate() error {
	var errs []error
	for _, word := range r.On {
		if _, err := munin.ParseLevel(word); word != onRecovery && (err != nil || word == "ok") {
			errs = append(errs, fmt.Errorf("on: %q: want warning, critical, unknown or recovery", word))
		}
	}
	if r.Email == nil && r.Webhook == nil && r.Command == nil {
		errs = append(errs, errors.New("it has neither email, webhook nor command"))
	}
	if r.Email != nil {
		errs = append(errs, r.Email.validate())
	}
	if r.Webhook != nil {
		errs = append(errs, r.Webhook.validate())
	}
	if r.Command != nil && (len(r.Command.Argv) == 0 || !strings.HasPrefix(r.Command.Argv[0], "/")) {
		errs = append(errs, errors.New("command: want a list that begins with the absolute path of a program"))
	}
	return errors.Join(errs...)
}

func (e *Email) validate() error {
	var errs []error
	if e.Host == "" {
		errs = append(errs, errors.New("email: the SMTP server is missing"))
	}
	if e.Port < 0 || e.Port > 65535 {
		errs = append(errs, fmt.Errorf("email: port %d: want 1 to 65535", e.Port))
	}
	if !slices.Contains([]string{"", "opportunistic", "mandatory", "implicit", "none"}, e.TLS) {
		errs = append(errs, fmt.Errorf("email: tls %q: want opportunistic, mandatory, implicit or none", e.TLS))
	}
	if len(e.To) == 0 {
		errs = append(errs, errors.New("email: there is no address to send to"))
	}
	for _, address := range append([]string{e.From}, e.To...) {
		if _, err := mail.ParseAddress(address); err != nil {
			errs = append(errs, fmt.Errorf("email: address %q: %w", address, err))
		}
	}
	return errors.Join(errs...)
}

func (w *Webhook) validate() error {
	u, err := url.Parse(string(w.URL))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("webhook: the URL is not one of http:// or https://") // without the URL: it may be a secret
	}
	if strings.Contains(string(w.URL), "{{") {
		return errors.New("webhook: the URL holds {{, which would be taken for a template")
	}
	return nil
}

// wants says whether the receiver is told of a level, or of "recovery".
func wants(on []string, word string) bool { return len(on) == 0 || slices.Contains(on, word) }
