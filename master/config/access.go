package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"corbie/munin"
)

// Access says who is let in to the pages, and what they may do there.
type Access struct {
	// Anonymous is what those may do who did not sign in. Where the file does not say it: nothing when there is a way to sign in,
	// else they may read, and on loopback be operators.
	Anonymous Grant
	Htpasswd  string // file; empty: none
	Proxy     *Proxy
	OIDC      *OIDC
	Users     map[string]Grant
	Teams     map[string]Grant // groups of people, as the proxy or the provider calls them
	Default   Grant            // of those who signed in and are in neither
	Idle      time.Duration
	Longest   time.Duration

	anonymous bool // the file says what those may do who did not sign in
}

// Grant is a role and the groups of hosts that it is for; empty: all.
type Grant struct {
	Role   munin.Role
	Groups []string
}

// Proxy is a web server in front that signs people in.
type Proxy struct {
	Trusted []netip.Prefix
	Header  string
	Teams   string // header; empty: none
	SignOut string // address; empty: none
}

// OIDC is an OpenID Connect provider.
type OIDC struct {
	Issuer    string
	Client    string
	Secret    munin.Secret
	Scopes    []string
	NameClaim string
	TeamClaim string
}

// ListenTLS is how the pages are encrypted; without files they are not.
type ListenTLS struct{ Certificate, Key string }

// Guarded says whether there is any way to sign in.
func (a *Access) Guarded() bool { return a.Htpasswd != "" || a.Proxy != nil || a.OIDC != nil }

const (
	defaultIdle    = 12 * time.Hour
	defaultLongest = 30 * 24 * time.Hour
)

func (r *reader) access(n *node, a *Access) {
	r.mapping(n, "access", map[string]func(*node){
		"anonymous": func(n *node) { a.anonymous = true; a.Anonymous = r.grant(n, "access.anonymous") },
		"htpasswd":  func(n *node) { a.Htpasswd = r.file(n) },
		"proxy":     func(n *node) { a.Proxy = r.proxy(n) },
		"oidc":      func(n *node) { a.OIDC = r.oidc(n) },
		"users":     func(n *node) { a.Users = r.grants(n, "access.users") },
		"teams":     func(n *node) { a.Teams = r.grants(n, "access.teams") },
		"default":   func(n *node) { a.Default = r.grant(n, "access.default") },
		"idle":      func(n *node) { a.Idle = r.duration(n, time.Minute, 366*24*time.Hour) },
		"longest":   func(n *node) { a.Longest = r.duration(n, time.Minute, 366*24*time.Hour) },
	})
	if (len(a.Users) > 0 || len(a.Teams) > 0 || a.Default.Role != munin.NoRole) && !a.Guarded() {
		r.problem(n.Line, "access: nobody can sign in: set htpasswd, proxy or oidc")
	}
	if len(a.Teams) > 0 && a.OIDC == nil && (a.Proxy == nil || a.Proxy.Teams == "") {
		r.problem(n.Line, "access: nothing says in which teams people are: set oidc, or teams_header in proxy")
	}
	if a.Guarded() && len(a.Users)+len(a.Teams) == 0 && a.Default.Role == munin.NoRole {
		r.warn(n.Line, "access: whoever signs in may do nothing yet: set users, teams, or default: viewer")
	}
}

// file is the path of a file, which need not be there.
func (r *reader) file(n *node) string {
	name := r.text(n)
	if name != "" && r.folder != nil {
		return r.folder.path(name)
	}
	return name
}

func (r *reader) grants(n *node, where string) map[string]Grant {
	all := make(map[string]Grant)
	for _, e := range r.valued(n, where, "want a role: viewer, operator, admin or none") {
		if name := r.text(e.key); name != "" {
			all[name] = r.grant(e.value, where+"."+name)
		}
	}
	return all
}

// grant reads "ROLE" or "{role: ROLE, see: [GROUP, …]}".
func (r *reader) grant(n *node, where string) Grant {
	var g Grant
	role := func(n *node) {
		var err error
		if g.Role, err = munin.ParseRole(r.text(n)); err != nil {
			r.problem(n.Line, "%s: %v", short(where), err)
		}
	}
	if n.Kind == yaml.ScalarNode {
		role(n)
		return g
	}
	said := false
	r.mapping(n, where, map[string]func(*node){
		"role": func(n *node) { said = true; role(n) },
		"see": func(n *node) {
			for _, group := range r.texts(n) {
				if strings.HasPrefix(group, ";") || strings.HasSuffix(group, ";") {
					r.problem(n.Line, "%s: %q: want the name of a group of hosts, as in web;eu", short(where), short(group))
				}
				g.Groups = append(g.Groups, group)
			}
		},
	})
	if !said {
		r.problem(n.Line, "%s: role is missing", short(where))
	}
	return g
}

func (r *reader) proxy(n *node) *Proxy {
	p := &Proxy{Header: "X-Remote-User"}
	r.mapping(n, "access.proxy", map[string]func(*node){
		"trusted": func(n *node) {
			for _, text := range r.texts(n) {
				if prefix, ok := r.network(n, text); ok {
					p.Trusted = append(p.Trusted, prefix)
				}
			}
		},
		"header":       func(n *node) { p.Header = r.header(n) },
		"teams_header": func(n *node) { p.Teams = r.header(n) },
		"sign_out_url": func(n *node) { p.SignOut = r.link(n, "access.proxy.sign_out_url") },
	})
	if len(p.Trusted) == 0 {
		r.problem(n.Line, "access.proxy: trusted is missing: the addresses of the web server whose header is believed, such as 127.0.0.1")
	}
	return p
}

func (r *reader) network(n *node, text string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(text)
	if ip, errIP := netip.ParseAddr(text); errIP == nil {
		prefix, err = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	if err != nil {
		r.problem(n.Line, "access.proxy.trusted: %q: want an address or a network, such as 127.0.0.1 or 10.0.0.0/24", short(text))
		return prefix, false
	}
	if prefix.Bits() == 0 {
		r.problem(n.Line, "access.proxy.trusted: %s is everybody: whoever reaches the port could be anybody", text)
		return prefix, false
	}
	return prefix.Masked(), true
}

func (r *reader) header(n *node) string {
	name := r.text(n)
	for _, c := range name {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			r.problem(n.Line, "%q is no name of a header", short(name))
			return ""
		}
	}
	if slices.Contains([]string{"host", "cookie", "authorization", "origin"}, strings.ToLower(name)) {
		r.problem(n.Line, "the header %s says something else", name)
	}
	return name
}

// link is an address of a page elsewhere.
func (r *reader) link(n *node, where string) string {
	value := r.text(n)
	u, err := url.Parse(value)
	if value != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		r.problem(n.Line, "%s: %q: want an address that begins with https://", where, short(value))
		return ""
	}
	return value
}

func (r *reader) oidc(n *node) *OIDC {
	const where = "access.oidc"
	o := &OIDC{}
	keys := map[string]func(*node){
		"issuer":     func(n *node) { o.Issuer = r.link(n, where+".issuer") },
		"client_id":  func(n *node) { o.Client = r.text(n) },
		"scopes":     func(n *node) { o.Scopes = r.texts(n) },
		"name_claim": func(n *node) { o.NameClaim = r.text(n) },
		"team_claim": func(n *node) { o.TeamClaim = r.text(n) },
	}
	r.secret("client_secret", where, func(s munin.Secret) { o.Secret = s }).add(keys)
	if r.mapping(n, where, keys) {
		r.require(n, where, "issuer", o.Issuer != "")
		r.require(n, where, "client_id", o.Client != "")
		if u, err := url.Parse(o.Issuer); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			r.problem(n.Line, "%s.issuer: %s is not encrypted: whoever is between could sign in as anybody", where, o.Issuer)
		}
	}
	return o
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (r *reader) listenTLS(n *node, t *ListenTLS) {
	r.mapping(n, "listen_tls", map[string]func(*node){
		"certificate": func(n *node) { t.Certificate = r.file(n) },
		"key":         func(n *node) { t.Key = r.file(n) },
	})
	r.require(n, "listen_tls", "certificate", t.Certificate != "")
	r.require(n, "listen_tls", "key", t.Key != "")
}

// settleAccess fills in what the file does not say, and checks what depends on other keys.
func (r *reader) settleAccess(c *Config) {
	a := &c.Access
	if a.Idle == 0 {
		a.Idle = defaultIdle
	}
	if a.Longest == 0 {
		a.Longest = defaultLongest
	}
	host, _, err := net.SplitHostPort(c.Listen)
	local := err == nil && isLoopback(host)
	switch {
	case a.anonymous || a.Guarded():
	case local:
		a.Anonymous.Role = munin.Operator
	default:
		a.Anonymous.Role = munin.Viewer
	}
	if a.OIDC != nil && c.URL == "" && !local {
		r.problem(0, "access.oidc: url is missing: the provider sends people back to it")
	}
	if !local && a.Htpasswd != "" && c.ListenTLS == (ListenTLS{}) && !strings.HasPrefix(c.URL, "https://") {
		r.warn(1, "passwords cross the network readable for everybody in between: set listen_tls, or a web server in front that encrypts and url to its address")
	}
}
