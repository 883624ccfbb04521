package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"corbie/munin"
)

// Receiver is somebody to be told of problems, in one or several ways.
type Receiver struct {
	Name    string
	On      []string // of warning, critical, unknown and recovery; empty: all
	Email   *Email
	Webhook *Webhook
	Command []string      // the program's absolute path and its arguments; empty: none
	Contact *Contact      // of munin.conf; see Config.Tells
	Timeout time.Duration // of one attempt; 0: the default
	Line    int
}

// Email is a mail by SMTP.
type Email struct {
	To                 []string
	From               string
	Hello              string // name said in EHLO; empty: the machine's
	Host               string
	Port               int    // 0: by TLS
	TLS                string // opportunistic, mandatory, implicit or none
	InsecureSkipVerify bool
	Username           string
	Password           munin.Secret
	Pictures           bool // whether mails show the graphs
}

// Webhook is an HTTP POST of Alertmanager's JSON.
type Webhook struct {
	URL                munin.Secret
	Username           string
	Password           munin.Secret
	Token              munin.Secret
	InsecureSkipVerify bool
}

// Notify says how notices are put together.
type Notify struct {
	GroupBy     []string      // labels of problems that go into one notice
	Wait        time.Duration // for others of the group, before the first notice
	Interval    time.Duration // between two notices of one group
	RepeatEvery time.Duration // of a problem that stays open; 0: never
}

func defaultNotify() Notify {
	return Notify{GroupBy: []string{"group", "host", "graph"}, Wait: 2 * time.Second, Interval: 10 * time.Second}
}

func (r *reader) notify(n *node, out *Notify) {
	r.mapping(n, "notify", map[string]func(*node){
		"group_by": func(n *node) { out.GroupBy = r.words(n, "group", "host", "graph", "field") },
		"wait":     func(n *node) { out.Wait = r.duration(n, 0, time.Hour) },
		"interval": func(n *node) { out.Interval = r.duration(n, time.Second, 24*time.Hour) },
		"repeat_every": func(n *node) {
			if value := r.text(n); value != "" && value != "never" {
				out.RepeatEvery = r.duration(n, time.Minute, 5*365*24*time.Hour)
			}
		},
	})
}

// words is a list of words out of those given, none of them twice.
func (r *reader) words(n *node, allowed ...string) []string {
	var list []string
	for _, value := range r.texts(n) {
		switch {
		case !slices.Contains(allowed, value):
			r.problem(n.Line, "%q: want %s", short(value), strings.Join(allowed, ", "))
		case !slices.Contains(list, value):
			list = append(list, value)
		}
	}
	return list
}

func (r *reader) receivers(n *node) []Receiver {
	var list []Receiver
	lines := make(map[string]int)
	for _, item := range r.items(n, "receivers", "name") {
		rec := Receiver{Line: item.Line}
		where := item.where
		if name := nameOf(item.node); name != "" {
			where = "receivers." + name
		}
		whole := r.mapping(item.node, where, map[string]func(*node){
			"name":    func(n *node) { rec.Name = r.receiverName(n) },
			"on":      func(n *node) { rec.On = r.words(n, "warning", "critical", "unknown", "recovery") },
			"email":   func(n *node) { rec.Email = r.email(n, where) },
			"webhook": func(n *node) { rec.Webhook = r.webhook(n, where) },
			"command": func(n *node) { rec.Command = r.command(n) },
			"timeout": func(n *node) { rec.Timeout = r.duration(n, time.Second, 10*time.Minute) },
		})
		if !whole {
			continue
		}
		first, twice := lines[rec.Name]
		switch {
		case rec.Name == "":
			r.problem(item.Line, "%s: name is missing", where)
		case twice:
			r.problem(item.Line, "the receiver %q is there twice, first in line %d", rec.Name, first)
		case rec.Email == nil && rec.Webhook == nil && len(rec.Command) == 0:
			r.problem(item.Line, "%s: it reaches nobody; set email, webhook or command", where)
		}
		lines[rec.Name] = item.Line
		list = append(list, rec)
	}
	return list
}

// nameOf looks for the name in an entry, for messages.
func nameOf(item *node) string {
	for i := 0; i+1 < len(item.Content); i += 2 {
		if item.Content[i].Value == "name" {
			return item.Content[i+1].Value
		}
	}
	return ""
}

func (r *reader) receiverName(n *node) string {
	value := r.text(n)
	if value == "" {
		return ""
	}
	if err := checkName(value, "@ "); err != nil {
		r.problem(n.Line, "the receiver %q: %v", short(value), err)
	}
	return value
}

func (r *reader) email(n *node, where string) *Email {
	where += ".email"
	e := &Email{TLS: "opportunistic", Pictures: true}
	password := r.secret("password", where, func(s munin.Secret) { e.Password = s })
	keys := map[string]func(*node){
		"to":   func(n *node) { e.To = r.addresses(n) },
		"from": func(n *node) { e.From = first(r.addresses(n)) },
		"smarthost": func(n *node) {
			e.Host, e.Port = r.smarthost(n)
		},
		"tls":                  func(n *node) { e.TLS = r.word(n, "opportunistic", "mandatory", "implicit", "none") },
		"insecure_skip_verify": func(n *node) { e.InsecureSkipVerify = r.yes(n) },
		"username":             func(n *node) { e.Username = r.text(n) },
		"hello":                func(n *node) { e.Hello = r.text(n) },
		"pictures":             func(n *node) { e.Pictures = r.yes(n) },
	}
	password.add(keys)
	if !r.mapping(n, where, keys) {
		return e
	}
	r.require(n, where, "to", len(e.To) > 0)
	r.require(n, where, "from", e.From != "")
	r.require(n, where, "smarthost", e.Host != "")
	if (e.Username != "") != password.set {
		r.problem(n.Line, "%s: username and password go together", where)
	}
	if e.Username != "" && e.TLS == "none" {
		r.problem(n.Line, "%s: without TLS the password would go over the network in clear; leave tls out, or username", where)
	}
	return e
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func (r *reader) require(n *node, where, key string, there bool) {
	if !there {
		r.problem(n.Line, "%s: %s is missing", where, key)
	}
}

func (r *reader) addresses(n *node) []string {
	list := r.texts(n)
	for _, value := range list {
		if _, err := mail.ParseAddress(value); err != nil {
			r.problem(n.Line, "%q is no mail address; want ops@example.com or \"Ops <ops@example.com>\"", short(value))
		}
	}
	return list
}

func (r *reader) smarthost(n *node) (host string, port int) {
	value := r.text(n)
	if value == "" {
		return "", 0
	}
	host = value
	if h, p, err := net.SplitHostPort(value); err == nil {
		host = h
		if isPort(p, false) {
			_, _ = fmt.Sscan(p, &port)
		} else {
			host = ""
		}
	}
	if net.ParseIP(host) == nil && !isHostName(host) {
		r.problem(n.Line, "smarthost: %q: want the mail server as host or host:port", short(value))
	}
	return host, port
}

// secretKeys are the keys NAME and NAME_file, of which one may be set.
type secretKeys struct {
	r     *reader
	name  string
	where string
	take  func(munin.Secret)
	set   bool
}

func (r *reader) secret(name, where string, take func(munin.Secret)) *secretKeys {
	return &secretKeys{r: r, name: name, where: where, take: take}
}

func (s *secretKeys) add(keys map[string]func(*node)) {
	keys[s.name] = func(n *node) { s.value(n, s.r.text(n)) }
	keys[s.name+"_file"] = func(n *node) {
		path := s.r.text(n)
		if path == "" {
			return
		}
		if s.r.folder == nil {
			s.value(n, "")
			return
		}
		text, err := s.r.folder.secret(path)
		if err != nil {
			s.r.problem(n.Line, "%s.%s_file: %v", s.where, s.name, err)
		}
		s.value(n, text)
	}
}

func (s *secretKeys) value(n *node, text string) {
	if s.set {
		s.r.problem(n.Line, "%s: only one of %s and %s_file can be set", s.where, s.name, s.name)
	}
	s.set = true
	s.take(munin.Secret(text))
}

func (r *reader) webhook(n *node, where string) *Webhook {
	where += ".webhook"
	w := &Webhook{}
	keys := map[string]func(*node){
		"username":             func(n *node) { w.Username = r.text(n) },
		"insecure_skip_verify": func(n *node) { w.InsecureSkipVerify = r.yes(n) },
	}
	address := r.secret("url", where, func(s munin.Secret) { w.URL = s })
	password := r.secret("password", where, func(s munin.Secret) { w.Password = s })
	token := r.secret("token", where, func(s munin.Secret) { w.Token = s })
	for _, s := range []*secretKeys{address, password, token} {
		s.add(keys)
	}
	before := len(r.problems)
	if n.Kind == yaml.ScalarNode {
		address.value(n, r.text(n))
	} else {
		r.mapping(n, where, keys)
	}
	if len(r.problems) > before {
		return w
	}
	r.require(n, where, "url", address.set)
	if u, err := url.Parse(string(w.URL)); w.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		r.problem(n.Line, "%s: the url must begin with https:// or http:// and name a host", where)
	}
	if (w.Username != "") != password.set {
		r.problem(n.Line, "%s: username and password go together", where)
	}
	if token.set && password.set {
		r.problem(n.Line, "%s: only one of token and password can be used", where)
	}
	return w
}

func (r *reader) command(n *node) []string {
	if n.Kind != yaml.SequenceNode {
		r.problem(n.Line, "command: want a list, because no shell takes it apart: [/usr/local/bin/page, --now]")
		return nil
	}
	argv := r.texts(n)
	if len(argv) > 0 && !strings.HasPrefix(argv[0], "/") {
		r.problem(n.Line, "command: %q: want the program's absolute path", short(argv[0]))
	}
	return argv
}
