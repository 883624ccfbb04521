package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// TooManyError says that there were too many failures.
type TooManyError struct{ Again time.Duration }

func (e *TooManyError) Error() string {
	return "There were too many wrong attempts. Try again in " + munin.FormatDuration(e.Again.Round(time.Second)) + "."
}

// RetryAfter is the header of that name.
func (e *TooManyError) RetryAfter() string { return strconv.Itoa(max(int(e.Again/time.Second), 1)) }

var errBadToken = errors.New("The token is not known, was revoked or has expired. Make another: corbie token add NAME.") //nolint:staticcheck // a sentence for people

// Wrap guards a handler.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := g.caller(r)
		r = r.WithContext(With(r.Context(), Person{Method: ByNobody}))
		need := g.opts.Needs(r)
		if need == Public && !changes(r) {
			next.ServeHTTP(w, r)
			return
		}
		p, err := g.identify(r, c)
		if err != nil {
			g.refuse(w, r, err)
			return
		}
		if changes(r) && p.Method != ByToken {
			if err := g.sameSite(r, c, p); err != nil {
				g.log(r, c, p, err.Error(), true)
				g.opts.Deny(w, r, http.StatusForbidden, err.Error())
				return
			}
		}
		r = r.WithContext(With(r.Context(), p))
		if p.Role < need {
			g.turnAway(w, r, c, p, need)
			return
		}
		if !changes(r) || Asks(r) || logsItself(r) {
			next.ServeHTTP(w, r)
			return
		}
		status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(status, r)
		g.log(r, c, p, "", status.status >= http.StatusBadRequest)
	})
}

// changes says whether a request may change anything.
func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
}

// logsItself says whether the audit log is written by what answers, or need not be: preferences are the browser's own.
func logsItself(r *http.Request) bool {
	return r.URL.Path == "/login" || r.URL.Path == "/logout" || r.URL.Path == "/preferences"
}

// Asks says whether a POST only asks, as the queries of Prometheus' API do.
func Asks(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/v1/")
	return ok && slices.Contains([]string{"query", "query_range", "query_exemplars", "series", "labels", "format_query", "parse_query", "read"}, rest)
}

// refuse answers a request that nobody made.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var many *TooManyError
	switch {
	case errors.As(err, &many):
		w.Header().Set("Retry-After", many.RetryAfter())
		g.opts.Deny(w, r, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, errBadToken):
		w.Header().Set("WWW-Authenticate", `Bearer realm="Corbie", error="invalid_token"`)
		g.opts.Deny(w, r, http.StatusUnauthorized, err.Error())
	default:
		g.opts.Log.ErrorContext(r.Context(), "cannot find out who asks", "err", err)
		g.opts.Deny(w, r, http.StatusInternalServerError, "The catalogue cannot say who you are. The master's log says why.")
	}
}

// turnAway answers somebody who may not do what they asked for.
func (g *Guard) turnAway(w http.ResponseWriter, r *http.Request, c caller, p Person, need munin.Role) {
	password, oidc := g.Methods()
	if p.Name == "" {
		if (password || oidc) && !changes(r) && strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, "/login?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="Corbie"`)
		g.opts.Deny(w, r, http.StatusUnauthorized, "Sign in for this, or send a token: corbie token add NAME.")
		return
	}
	if changes(r) {
		g.log(r, c, p, "", true)
	}
	g.opts.Deny(w, r, http.StatusForbidden, fmt.Sprintf("%s is %s here; this takes a role of %s at least. Roles are given in corbie.yml, under access.",
		p.Name, article(p.Role), need))
}

func article(r munin.Role) string {
	switch r {
	case munin.Viewer:
		return "a viewer"
	case munin.Operator:
		return "an operator"
	case munin.Admin:
		return "an admin"
	case munin.NoRole:
	}
	return "nobody"
}

// sameSite refuses changes that a page elsewhere had the browser send.
func (g *Guard) sameSite(r *http.Request, c caller, p Person) error {
	if err := g.cross.Check(r); err != nil {
		return errors.New("Another site sent this request; nothing was changed. Go back to the page and try again there.") //nolint:staticcheck // a sentence for people
	}
	s := g.settings.Load()
	if !s.Local || p.Name != "" || isLocalName(r.Host) || c.trusted {
		return nil
	}
	if u, err := url.Parse(s.URL); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	return errors.New("Changes are taken at localhost only, as long as nobody has to sign in; nothing was changed. " + //nolint:staticcheck // a sentence for people
		"Set url in corbie.yml to the address under which people reach the pages.")
}

func isLocalName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

// caller is where a request comes from.
type caller struct {
	address string
	trusted bool // by way of the proxy whose headers are believed
	secure  bool // encrypted all the way from the browser, as far as can be known
}

// caller finds where a request comes from. The headers of a proxy that is not trusted are taken away.
func (g *Guard) caller(r *http.Request) caller {
	s := g.settings.Load()
	c := caller{secure: r.TLS != nil}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap().WithZone("")
	c.address = host
	if err == nil {
		c.address = ip.String()
	}
	if u, err := url.Parse(s.URL); err == nil && u.Scheme == "https" && strings.EqualFold(u.Host, r.Host) {
		c.secure = true
	}
	if s.Proxy == nil {
		return c
	}
	if err != nil || !contains(s.Proxy.Trusted, ip) {
		r.Header.Del(s.Proxy.Header)
		if s.Proxy.Teams != "" {
			r.Header.Del(s.Proxy.Teams)
		}
		return c
	}
	c.trusted = true
	c.secure = c.secure || r.Header.Get("X-Forwarded-Proto") == "https"
	// The last address that no trusted proxy added is the one that the browser cannot make up.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		c.address = hop.Unmap().String()
		if !contains(s.Proxy.Trusted, hop.Unmap()) {
			break
		}
	}
	return c
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// identify finds out who asks. Nobody is a person, too, without a name.
func (g *Guard) identify(r *http.Request, c caller) (Person, error) {
	s := g.settings.Load()
	if kind, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(kind, "Bearer") {
		return g.byToken(r.Context(), strings.TrimSpace(token), c)
	}
	if s.Proxy != nil && c.trusted {
		if name := munin.CleanText(r.Header.Get(s.Proxy.Header)); name != "" && len(name) <= maxName {
			grant := s.grant(name, teamsOf(r, s.Proxy))
			return Person{Name: name, Method: ByProxy, Role: grant.Role, Groups: grant.Groups}, nil
		}
	}
	if p, ok, err := g.bySession(r, c); ok || err != nil {
		return p, err
	}
	return Person{Method: ByNobody, Role: s.Anonymous.Role, Groups: s.Anonymous.Groups}, nil
}

func teamsOf(r *http.Request, p *Proxy) []string {
	if p.Teams == "" {
		return nil
	}
	var teams []string
	for name := range strings.FieldsFuncSeq(strings.Join(r.Header.Values(p.Teams), ","), func(c rune) bool { return c == ',' || c == ';' }) {
		if name = strings.TrimSpace(name); name != "" && len(teams) < maxTeams {
			teams = append(teams, name)
		}
	}
	return teams
}

// HashToken is what is stored of a token.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func (g *Guard) byToken(ctx context.Context, token string, c caller) (Person, error) {
	key := "address " + network(c.address)
	now := time.Now()
	if again := g.limits.take(key, now); again > 0 {
		return Person{}, &TooManyError{again}
	}
	hash := HashToken(token)
	t, err := g.opts.Tokens.Token(ctx, hash)
	if errors.Is(err, munin.ErrNotFound) || err == nil && !t.Valid(now) {
		return Person{}, errBadToken
	}
	if err != nil {
		return Person{}, err
	}
	g.limits.refund(key)
	if now.Sub(t.Used) >= time.Minute {
		if err := g.opts.Tokens.TokenUsed(ctx, hash, now); err != nil {
			g.opts.Log.WarnContext(ctx, "cannot note that a token was used", "token", t.Name, "err", err)
		}
	}
	return Person{Name: t.Name, Method: ByToken, Role: t.Role, Groups: t.Groups}, nil
}

// log writes an entry of the audit log about a request.
func (g *Guard) log(r *http.Request, c caller, p Person, detail string, refused bool) {
	if detail == "" {
		detail = formOf(r)
	}
	g.note(r.Context(), munin.Change{
		At: time.Now(), Who: p.Name, Method: p.Method, Address: c.address, Action: r.Method + " " + r.URL.Path, Detail: detail, Refused: refused,
	})
}

func (g *Guard) note(ctx context.Context, e munin.Change) {
	// What was done is written down, also when the browser has gone.
	if err := g.opts.Journal.LogChange(context.WithoutCancel(ctx), e); err != nil {
		g.opts.Log.ErrorContext(ctx, "cannot write the audit log", "who", e.Who, "action", e.Action, "err", err)
	}
}

// formOf is what a form said, but for secrets.
func formOf(r *http.Request) string {
	var parts []string
	for key, values := range r.PostForm {
		lower := strings.ToLower(key)
		if strings.Contains(lower, "password") || strings.Contains(lower, "secret") || strings.Contains(lower, "token") {
			values = []string{"…"}
		}
		for _, v := range values {
			parts = append(parts, key+"="+v)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// statusWriter remembers how a request went.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader begins the answer.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
