package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"corbie/munin"
)

// ErrWrong says that a name or a password is wrong; which of them is not told.
var ErrWrong = errors.New("That name and password do not go together.") //nolint:staticcheck // a sentence for people

// nobodysHash is compared with where there is no user of a name, so that this takes as long.
const nobodysHash = "$2y$10$C6UzMDM.H6dfI/f/IKcEeO7ZlFmpBGZ0uJzDGJd4NVQyEXPRxHJ0W"

// SignIn checks a name and a password and begins a session, whose cookie it sets. The error is ErrWrong, a *TooManyError, or one of
// the store.
func (g *Guard) SignIn(w http.ResponseWriter, r *http.Request, name, password string) error {
	c, s := g.caller(r), g.settings.Load()
	if s.Htpasswd == "" {
		return ErrWrong
	}
	name = munin.CleanText(name)
	if len(name) > maxName {
		name = name[:maxName]
	}
	attempt := munin.Change{At: time.Now(), Who: name, Method: ByPassword, Address: c.address, Action: "sign in"}
	keys := []string{"address " + network(c.address), "name " + name}
	for i, key := range keys {
		if again := g.limits.take(key, attempt.At); again > 0 {
			for _, taken := range keys[:i] {
				g.limits.refund(taken)
			}
			return &TooManyError{again}
		}
	}
	hash, ok := g.users.hash(s.Htpasswd, name)
	if !ok {
		hash = nobodysHash
	}
	right, err := g.compare(r.Context(), hash, password)
	if err != nil {
		return err
	}
	if !ok || !right {
		attempt.Refused = true
		g.note(r.Context(), attempt)
		return ErrWrong
	}
	for _, key := range keys {
		g.limits.refund(key)
	}
	return g.begin(w, r, munin.Session{Person: name, Method: ByPassword, Proof: proof(hash)})
}

// compare checks a password; few at a time, because each takes a processor for a while.
func (g *Guard) compare(ctx context.Context, hash, password string) (bool, error) {
	select {
	case g.hashing <- struct{}{}:
		defer func() { <-g.hashing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil && len(password) <= maxPassword, nil
}

// proof changes when a password does.
func proof(hash string) string {
	sum := sha256.Sum256([]byte("proof " + hash))
	return hex.EncodeToString(sum[:8])
}

// begin starts a session under a name of its own, whatever cookie the browser brought, and ends the one that it had.
func (g *Guard) begin(w http.ResponseWriter, r *http.Request, session munin.Session) error {
	c, s, now := g.caller(r), g.settings.Load(), time.Now()
	if old, ok := cookieID(r, c); ok {
		if err := g.opts.Sessions.EndSession(r.Context(), old); err != nil {
			return err
		}
	}
	value := rand.Text() + rand.Text() // 260 bits
	session.ID, session.Address, session.Agent = HashToken(value), c.address, munin.CleanText(clip(r.UserAgent(), maxName))
	session.Began, session.Seen, session.Ends = now, now, now.Add(s.Longest)
	if err := g.opts.Sessions.SaveSession(r.Context(), session); err != nil {
		return err
	}
	g.note(r.Context(), munin.Change{At: now, Who: session.Person, Method: session.Method, Address: c.address, Action: "sign in"})
	http.SetCookie(w, cookie(cookieName(c), value, c, int(s.Longest/time.Second)))
	return nil
}

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// SignOut ends the session of a request, if there is one.
func (g *Guard) SignOut(w http.ResponseWriter, r *http.Request) error {
	c := g.caller(r)
	http.SetCookie(w, cookie(cookieName(c), "", c, -1))
	id, ok := cookieID(r, c)
	if !ok {
		return nil
	}
	if p, ok, err := g.bySession(r, c); ok && err == nil {
		g.note(r.Context(), munin.Change{At: time.Now(), Who: p.Name, Method: p.Method, Address: c.address, Action: "sign out"})
	}
	return g.opts.Sessions.EndSession(r.Context(), id)
}

// Sessions lists the sessions that a person may end: their own, and an admin all.
func (g *Guard) Sessions(ctx context.Context, p Person) ([]munin.Session, error) {
	all, err := g.opts.Sessions.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	var mine []munin.Session
	for i := range all {
		if p.Role == munin.Admin || p.Name != "" && all[i].Person == p.Name && all[i].Method == p.Method {
			if all[i].Ends.After(time.Now()) {
				mine = append(mine, all[i])
			}
		}
	}
	return mine, nil
}

// End ends a session that the person may end; else the error wraps munin.ErrNotFound.
func (g *Guard) End(ctx context.Context, p Person, id string) error {
	mine, err := g.Sessions(ctx, p)
	if err != nil {
		return err
	}
	for i := range mine {
		if mine[i].ID == id {
			return g.opts.Sessions.EndSession(ctx, id)
		}
	}
	return munin.ErrNotFound
}

// bySession is who has a session by the request's cookie. A session that must not go on ends.
func (g *Guard) bySession(r *http.Request, c caller) (Person, bool, error) {
	id, ok := cookieID(r, c)
	if !ok {
		return Person{}, false, nil
	}
	session, err := g.opts.Sessions.Session(r.Context(), id)
	if errors.Is(err, munin.ErrNotFound) {
		return Person{}, false, nil
	}
	if err != nil {
		return Person{}, false, err
	}
	s, now := g.settings.Load(), time.Now()
	if !g.goesOn(&session, s, now) {
		return Person{}, false, g.opts.Sessions.EndSession(r.Context(), id)
	}
	if now.Sub(session.Seen) >= time.Minute {
		session.Seen = now
		if err := g.opts.Sessions.SaveSession(r.Context(), session); err != nil {
			return Person{}, false, err
		}
	}
	grant := s.grant(session.Person, session.Groups)
	return Person{Name: session.Person, Method: session.Method, Role: grant.Role, Groups: grant.Groups, Session: id}, true, nil
}

// goesOn says whether a session is still good.
func (g *Guard) goesOn(session *munin.Session, s *Settings, now time.Time) bool {
	if !now.Before(session.Ends) || now.Sub(session.Seen) > s.Idle {
		return false
	}
	switch session.Method {
	case ByPassword:
		hash, ok := "", false
		if s.Htpasswd != "" {
			hash, ok = g.users.hash(s.Htpasswd, session.Person)
		}
		return ok && proof(hash) == session.Proof
	case ByOIDC:
		return s.OIDC != nil && s.OIDC.Issuer == session.Proof
	}
	return false
}

// cookieName is that of the session's cookie. The prefix makes browsers refuse it from other hosts and unencrypted.
func cookieName(c caller) string {
	if c.secure {
		return "__Host-corbie"
	}
	return "corbie"
}

func cookie(name, value string, c caller, seconds int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // it is Secure wherever the connection is
		Name: name, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	}
}

// cookieID is the ID of the session that the request's cookie names.
func cookieID(r *http.Request, c caller) (string, bool) {
	k, err := r.Cookie(cookieName(c))
	if err != nil || len(k.Value) < 40 || len(k.Value) > maxName {
		return "", false
	}
	return HashToken(k.Value), true
}

// Next is where to go after signing in: a path on this server, whatever was asked for.
func Next(asked string) string {
	u, err := url.Parse(asked)
	switch {
	case err != nil, u.IsAbs(), u.Host != "", u.User != nil, u.Opaque != "":
		return "/"
	case !strings.HasPrefix(asked, "/"), strings.HasPrefix(asked, "//"), strings.ContainsAny(asked, "\\\r\n\t\x00"), len(asked) > 4000:
		return "/"
	case strings.HasPrefix(u.Path, "//"), strings.HasPrefix(u.Path, "/login"), strings.HasPrefix(u.Path, "/logout"):
		return "/"
	}
	return u.String()
}
