// Package access decides who may see and change what on the pages: sign-in by a password file, by a trusted proxy or by
// OpenID Connect, tokens for programs, roles, groups of hosts, limits on failures, and a log of every change.
//
// A Guard wraps the handlers of the pages. Who asks is found once for each request and travels in its context, so that
// what reads the catalogue can leave out what the person must not see.
package access

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"corbie/munin"
)

// Sessions models where sessions are kept.
type Sessions interface {
	// SaveSession stores one instead of what was stored under its ID.
	SaveSession(ctx context.Context, s munin.Session) error
	// Session finds one by its ID, else munin.ErrNotFound.
	Session(ctx context.Context, id string) (munin.Session, error)
	Sessions(ctx context.Context) ([]munin.Session, error)
	EndSession(ctx context.Context, id string) error
}

// Tokens models where the tokens of programs are kept.
type Tokens interface {
	// Token finds one by its hash, else munin.ErrNotFound.
	Token(ctx context.Context, hash string) (munin.Token, error)
	TokenUsed(ctx context.Context, hash string, at time.Time) error
}

// Journal models the audit log.
type Journal interface {
	LogChange(ctx context.Context, e munin.Change) error
}

// Ways to be known.
const (
	ByNobody   = "anonymous"
	ByPassword = "htpasswd"
	ByProxy    = "proxy"
	ByOIDC     = "oidc"
	ByToken    = "token"
)

// Person is who asks.
type Person struct {
	Name   string // empty: nobody signed in
	Method string // one of the ways to be known
	Role   munin.Role
	Groups []string // of hosts that the person sees; empty: all
	// Session is the ID of the session, where there is one.
	Session string
}

// Sees says whether the person may see a host.
func (p Person) Sees(host munin.HostID) bool { return munin.InGroups(host, p.Groups) }

type personKey struct{}

// Public is the role that even the question who asks is not worth: for pictures of the frame, and whether the master is well.
const Public munin.Role = -1

// Of is who asks, by the context of a request that passed a Guard; else nobody, without any role.
func Of(ctx context.Context) Person {
	if p, ok := ctx.Value(personKey{}).(Person); ok {
		return p
	}
	return Person{Method: ByNobody}
}

// With is a context in which a person asks.
func With(ctx context.Context, p Person) context.Context {
	return context.WithValue(ctx, personKey{}, p)
}

// Grant is what somebody may do and see.
type Grant struct {
	Role   munin.Role
	Groups []string // of hosts; empty: all
}

// Settings say who is let in and what they may. They can be changed while a Guard is at work.
type Settings struct {
	Anonymous Grant // of those who did not sign in
	// Local refuses changes by those who did not sign in when the address in their browser is neither one of this machine nor that of
	// URL: a page elsewhere may have sent it.
	Local    bool
	Htpasswd string // file; empty: none
	Proxy    *Proxy
	OIDC     *OIDC
	Users    map[string]Grant
	Teams    map[string]Grant // by what the proxy or the provider calls the groups of people
	Default  Grant            // of those who signed in and are in neither
	Idle     time.Duration    // a session ends after so long without a request; 0: 12 hours
	Longest  time.Duration    // and after so long at the latest; 0: 30 days
	URL      string           // under which people reach the pages
}

// Proxy is a web server in front that signs people in.
type Proxy struct {
	Trusted []netip.Prefix // from where its headers are believed
	Header  string         // the name of the person
	Teams   string         // header with their groups, divided by commas; empty: none
	SignOut string         // where they sign out; empty: nowhere
}

// OIDC is an OpenID Connect provider.
type OIDC struct {
	Issuer    string
	Client    string
	Secret    string
	Scopes    []string
	NameClaim string // empty: preferred_username
	TeamClaim string // empty: groups
}

// Options are what a Guard is made of.
type Options struct {
	Sessions Sessions
	Tokens   Tokens
	Journal  Journal
	Settings Settings
	// Needs says which role a request takes. NoRole is for what everybody may see.
	Needs func(r *http.Request) munin.Role
	// Deny answers a request that is refused.
	Deny func(w http.ResponseWriter, r *http.Request, status int, text string)
	Log  *slog.Logger
}

// Guard lets requests through or refuses them.
type Guard struct {
	opts     Options
	settings atomic.Pointer[Settings]
	limits   *limits
	hashing  chan struct{} // holds one for each password that is being checked
	users    *userFile
	provider *provider
	cross    *http.CrossOriginProtection
}

// New makes a Guard; it starts nothing.
func New(opts Options) (*Guard, error) {
	if opts.Sessions == nil || opts.Tokens == nil || opts.Journal == nil || opts.Needs == nil || opts.Deny == nil {
		return nil, errors.New("access: sessions, tokens, a journal, needs and deny are needed")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{
		opts: opts, limits: newLimits(), hashing: make(chan struct{}, 2), users: &userFile{log: opts.Log},
		provider: newProvider(), cross: http.NewCrossOriginProtection(),
	}
	g.Reload(opts.Settings)
	return g, nil
}

// Reload puts other settings into force. Sessions of people who are no longer let in end with their next request.
func (g *Guard) Reload(s Settings) {
	if s.Idle <= 0 {
		s.Idle = 12 * time.Hour
	}
	if s.Longest <= 0 {
		s.Longest = 30 * 24 * time.Hour
	}
	g.settings.Store(&s)
}

// Methods says how people can sign in.
func (g *Guard) Methods() (password, oidc bool) {
	s := g.settings.Load()
	return s.Htpasswd != "", s.OIDC != nil
}

// SignOutURL is where people whom the proxy signed in sign out; empty: nowhere.
func (g *Guard) SignOutURL() string {
	if p := g.settings.Load().Proxy; p != nil {
		return p.SignOut
	}
	return ""
}

// grant is what somebody who signed in may do. What is said of the person goes before what is said of the teams, of which the
// most counts.
func (s *Settings) grant(name string, teams []string) Grant {
	if g, ok := s.Users[name]; ok {
		return g
	}
	var sum Grant
	found, all := false, false
	for _, team := range teams {
		g, ok := s.Teams[team]
		if !ok {
			continue
		}
		found = true
		sum.Role = max(sum.Role, g.Role)
		all = all || len(g.Groups) == 0
		sum.Groups = append(sum.Groups, g.Groups...)
	}
	switch {
	case !found:
		return s.Default
	case all:
		sum.Groups = nil
	}
	return sum
}
