package config

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"corbie/munin"
)

// Remote says where samples are sent by remote write.
type Remote struct {
	Engine             string // victoriametrics, prometheus, mimir or thanos
	URL                string // of the engine, without a slash at its end; empty where both others are set
	Write, Read        string // addresses where they are not what URL makes them
	Username           string
	Password, Token    munin.Secret
	Headers            map[string]string
	CA                 []byte // PEM; nil: what the machine trusts
	InsecureSkipVerify bool
	Labels             map[string]string // put on each series
	QueueBytes         int64
	QueueAge           time.Duration
	Connections        int
	Version            int // of remote write; 0: find out
	Timeout            time.Duration
}

const (
	embedded = "embedded"
	remote   = "remote"

	minQueue = 1 << 20

	defaultQueueBytes  = 2 << 30
	defaultQueueAge    = 7 * 24 * time.Hour
	defaultConnections = 4
	defaultRemoteTime  = 30 * time.Second
)

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// storageKeys reads "storage" and "remote"; settle checks them together.
type storageKeys struct {
	*reader

	where  *node // storage: remote
	remote *Remote
}

func (s *storageKeys) keys() map[string]func(*node) {
	return map[string]func(*node){
		"storage": func(n *node) {
			if s.word(n, embedded, remote) == remote {
				s.where = n
			}
		},
		remote: func(n *node) { s.remote = s.read(n) },
	}
}

func (s *storageKeys) settle(c *Config) {
	c.Remote, c.Elsewhere = s.remote, s.where != nil
	if s.where != nil && s.remote == nil {
		s.problem(s.where.Line, "storage: remote needs the section remote, which says where the engine is")
	}
}

func (s *storageKeys) read(n *node) *Remote {
	r := s.reader
	out := &Remote{
		QueueBytes: defaultQueueBytes, QueueAge: defaultQueueAge, Connections: defaultConnections, Timeout: defaultRemoteTime,
	}
	keys := map[string]func(*node){
		"engine":               func(n *node) { out.Engine = r.word(n, "victoriametrics", "prometheus", "mimir", "thanos") },
		"url":                  func(n *node) { out.URL = r.engineURL(n, "url") },
		"write_url":            func(n *node) { out.Write = r.engineURL(n, "write_url") },
		"read_url":             func(n *node) { out.Read = r.engineURL(n, "read_url") },
		"username":             func(n *node) { out.Username = r.text(n) },
		"headers":              func(n *node) { out.Headers = r.headers(n) },
		"ca_file":              func(n *node) { out.CA = r.certificates(n) },
		"insecure_skip_verify": func(n *node) { out.InsecureSkipVerify = r.yes(n) },
		"labels":               func(n *node) { out.Labels = r.labels(n) },
		"queue_size":           func(n *node) { out.QueueBytes = r.bytes(n, minQueue) },
		"queue_age":            func(n *node) { out.QueueAge = r.duration(n, time.Hour, 365*24*time.Hour) },
		"connections":          func(n *node) { out.Connections = r.count(n, 1, 64) },
		"timeout":              func(n *node) { out.Timeout = r.duration(n, time.Second, 10*time.Minute) },
		"protocol": func(n *node) {
			out.Version = map[string]int{"1.0": 1, "2.0": 2}[r.word(n, "auto", "1.0", "2.0")]
		},
	}
	password := r.secret("password", remote, func(s munin.Secret) { out.Password = s })
	token := r.secret("token", remote, func(s munin.Secret) { out.Token = s })
	password.add(keys)
	token.add(keys)
	if !r.mapping(n, remote, keys) {
		return out
	}
	r.require(n, remote, "engine", out.Engine != "")
	if out.URL == "" && (out.Write == "" || out.Read == "") {
		r.problem(n.Line, "remote: want the url of the engine, or both write_url and read_url")
	}
	if (out.Username != "") != password.set {
		r.problem(n.Line, "remote: username and password go together")
	}
	if token.set && password.set {
		r.problem(n.Line, "remote: only one of token and password can be used")
	}
	return out
}

// engineURL is an address of an engine.
func (r *reader) engineURL(n *node, name string) string {
	value := r.text(n)
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
		r.problem(n.Line, "remote: %s: %q: want an address such as http://engine.example.com:8428", name, short(value))
		return ""
	}
	if u.User != nil {
		r.problem(n.Line, "remote: %s: write username and password as keys of their own: an address is shown in messages", name)
	}
	return strings.TrimRight(value, "/")
}

func (r *reader) headers(n *node) map[string]string {
	const where = "remote.headers"
	out := make(map[string]string)
	for _, e := range r.valued(n, where, noValue) {
		value := r.text(e.value)
		if !httpguts.ValidHeaderFieldName(e.key.Value) || !httpguts.ValidHeaderFieldValue(value) {
			r.problem(e.key.Line, "%s: %q is no header of HTTP", where, short(e.key.Value))
			continue
		}
		out[http.CanonicalHeaderKey(e.key.Value)] = value
	}
	return out
}

func (r *reader) labels(n *node) map[string]string {
	const where = "remote.labels"
	out := make(map[string]string)
	for _, e := range r.valued(n, where, noValue) {
		switch name := e.key.Value; {
		case !labelName.MatchString(name) || strings.HasPrefix(name, "__"):
			r.problem(e.key.Line, "%s: %q: a label's name is made of letters, digits and underscores", where, short(name))
		case name == "group" || name == "host" || name == "graph" || name == "field" || name == "rollup":
			r.problem(e.key.Line, "%s: %s is a label that Corbie sets itself; use another name, such as master or site", where, name)
		default:
			out[name] = r.text(e.value)
		}
	}
	return out
}

func (r *reader) certificates(n *node) []byte {
	name := r.text(n)
	if name == "" || r.folder == nil {
		return nil
	}
	text, err := readFile(r.folder.path(name))
	if err != nil {
		r.problem(n.Line, "remote.ca_file: %v", err)
	}
	return text
}
