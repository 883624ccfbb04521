package ui

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"corbie/munin"
	"corbie/ui/access"
)

// Journal models the audit log.
type Journal interface {
	access.Journal
	// Changes lists entries from before a time, or all for the zero time; the newest first, most of them at the most.
	Changes(ctx context.Context, before time.Time, most int) ([]munin.Change, error)
}

// Access says who is let in.
type Access struct {
	Sessions access.Sessions
	Tokens   access.Tokens
	Journal  Journal
	Settings access.Settings
}

// Reload changes who is let in, while pages are served.
func (s *Server) Reload(settings access.Settings) {
	if s.guard != nil {
		s.guard.Reload(settings)
	}
}

// guarded puts the guard in front of the pages; without one everybody may do everything, but not by way of another site.
func (s *Server) guarded(next http.Handler) (http.Handler, error) {
	if s.opts.Access == nil {
		everybody := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(access.With(r.Context(), access.Person{Method: access.ByNobody, Role: munin.Admin})))
		})
		return http.NewCrossOriginProtection().Handler(everybody), nil
	}
	a := s.opts.Access
	var err error
	s.guard, err = access.New(access.Options{
		Sessions: a.Sessions, Tokens: a.Tokens, Journal: a.Journal, Settings: a.Settings, Needs: needs, Deny: s.deny, Log: s.opts.Log,
	})
	if err != nil {
		return nil, err
	}
	return s.guard.Wrap(next), nil
}

// needs says which role a request takes.
func needs(r *http.Request) munin.Role {
	path := r.URL.Path
	switch {
	case path == "/healthz", path == "/readyz", path == "/-/healthy", path == "/-/ready", strings.HasPrefix(path, "/static/"):
		return access.Public
	case path == "/login", path == "/logout", path == "/preferences", path == "/account", strings.HasPrefix(path, "/login/"), strings.HasPrefix(path, "/account/"):
		return munin.NoRole
	case path == "/audit":
		return munin.Admin
	case r.Method == http.MethodGet, r.Method == http.MethodHead, access.Asks(r):
		return munin.Viewer
	case strings.HasPrefix(path, "/api/v1/write"), strings.HasPrefix(path, "/api/v1/admin"), strings.HasPrefix(path, "/api/v1/otlp"):
		return munin.Admin
	}
	return munin.Operator
}

// wholeFleet says whether an address shows all hosts whatever groups somebody may see, so that only those get it who see all.
func wholeFleet(r *http.Request) bool {
	path := r.URL.Path
	return path == "/metrics" || path == "/audit" || strings.HasPrefix(path, "/alertmanager/")
}

// unlimited refuses what shows the whole fleet to those who see a part of it.
func (s *Server) unlimited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := access.Of(r.Context()); len(p.Groups) > 0 && wholeFleet(r) {
			s.deny(w, r, http.StatusForbidden, "This shows the hosts of all groups. You see those of "+strings.Join(p.Groups, ", ")+" only.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// deny answers a request that is refused.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, status int, text string) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		writeText(w, r, status, text+"\n")
		return
	}
	heading := map[int]string{
		http.StatusUnauthorized: "Sign in first", http.StatusForbidden: "You may not do this", http.StatusTooManyRequests: "Too many attempts",
	}[status]
	if heading == "" {
		heading = http.StatusText(status)
	}
	t := TroublePage{Frame: s.bare(r, "trouble", heading), Heading: heading, Text: text, Choices: []Link{{"Overview", "/"}}}
	if s.guard != nil && status == http.StatusUnauthorized {
		if password, oidc := s.guard.Methods(); password || oidc {
			t.Choices = []Link{{"Sign in", "/login"}}
		}
	}
	if err := s.render(w, r, status, "trouble", t); err != nil {
		s.opts.Log.ErrorContext(r.Context(), "the error page could not be made", "err", err)
		writeText(w, r, status, text+"\n")
	}
}

// bare is the frame of a page that says nothing of the fleet.
func (s *Server) bare(r *http.Request, kind, title string) Frame {
	v := s.viewer(r)
	f := s.frame(r, &fleet{now: time.Now().In(v.location), viewer: v}, kind, title)
	f.Refresh, f.Bare = 0, true
	return f
}

// LoginPage is /login.
type LoginPage struct {
	Frame
	Password bool   // people can sign in by name and password
	OIDC     string // address that leads to the provider; empty: none
	Next     string
	Name     string // that was tried
	Wrong    string // why it failed
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	return s.loginForm(w, r, http.StatusOK, LoginPage{Next: access.Next(r.URL.Query().Get("next"))})
}

func (s *Server) loginForm(w http.ResponseWriter, r *http.Request, status int, p LoginPage) error {
	if s.guard == nil {
		return munin.ErrNotFound
	}
	password, oidc := s.guard.Methods()
	if !password && !oidc {
		return munin.ErrNotFound
	}
	if status == http.StatusOK && access.Of(r.Context()).Name != "" {
		http.Redirect(w, r, p.Next, http.StatusSeeOther)
		return nil
	}
	p.Frame, p.Password = s.bare(r, "login", "Sign in"), password
	if oidc {
		p.OIDC = "/login/oidc?" + url.Values{"next": {p.Next}}.Encode()
	}
	w.Header().Set("Cache-Control", "no-store")
	return s.render(w, r, status, "login", p)
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	if s.guard == nil {
		return munin.ErrNotFound
	}
	next, name := access.Next(r.PostFormValue("next")), r.PostFormValue("name")
	err := s.guard.SignIn(w, r, name, r.PostFormValue("password"))
	var many *access.TooManyError
	switch {
	case err == nil:
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	case errors.As(err, &many):
		w.Header().Set("Retry-After", many.RetryAfter())
		return s.loginForm(w, r, http.StatusTooManyRequests, LoginPage{Next: next, Name: clip(name, 200), Wrong: many.Error()})
	case errors.Is(err, access.ErrWrong):
		return s.loginForm(w, r, http.StatusUnauthorized, LoginPage{Next: next, Name: clip(name, 200), Wrong: "That name and password do not go together."})
	}
	return err
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	if s.guard == nil {
		return munin.ErrNotFound
	}
	if err := s.guard.SignOut(w, r); err != nil {
		return err
	}
	if to := s.guard.SignOutURL(); to != "" && access.Of(r.Context()).Method == access.ByProxy {
		return s.leave(w, r, to)
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// leave sends the browser to another server after a form. A redirect would not do: the policy of our pages lets no form lead away, by
// whatever number of steps.
func (s *Server) leave(w http.ResponseWriter, r *http.Request, to string) error {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	t := TroublePage{
		Frame: s.bare(r, "trouble", "Signing out"), Heading: "Signing out",
		Text: "Your sign-in is kept by the web server in front, which ends it next.", Choices: []Link{{Text: "Go on", URL: to}},
	}
	t.Onward = to
	w.Header().Set("Cache-Control", "no-store")
	return s.render(w, r, http.StatusOK, "trouble", t)
}

func (s *Server) beginOIDC(w http.ResponseWriter, r *http.Request) error {
	if s.guard == nil {
		return munin.ErrNotFound
	}
	to, err := s.guard.BeginOIDC(w, r, r.URL.Query().Get("next"))
	if isNotFound(err) {
		return err
	}
	if err != nil {
		s.opts.Log.ErrorContext(r.Context(), "the sign-in at the provider cannot begin", "err", err)
		return s.loginForm(w, r, http.StatusBadGateway, LoginPage{Next: "/", Wrong: "The provider of sign-ins does not answer. The master's log says why. Try again in a minute."})
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (s *Server) finishOIDC(w http.ResponseWriter, r *http.Request) error {
	if s.guard == nil {
		return munin.ErrNotFound
	}
	next, err := s.guard.FinishOIDC(w, r)
	if isNotFound(err) {
		return err
	}
	if err != nil {
		s.opts.Log.WarnContext(r.Context(), "a sign-in by the provider failed", "err", err)
		return s.loginForm(w, r, http.StatusUnauthorized, LoginPage{Next: "/", Wrong: "You are not signed in: " + err.Error() + "."})
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// AccountPage is /account.
type AccountPage struct {
	Frame
	Method   string
	Groups   []string
	Sessions []SessionRow
	All      bool // the sessions of everybody
	Token    string
	SignOut  bool
}

// SessionRow is a browser in which somebody has signed in.
type SessionRow struct {
	ID, Person, Method, Address, Agent string
	Began, Seen                        *Moment
	This                               bool
}

func (s *Server) account(w http.ResponseWriter, r *http.Request) error {
	p := access.Of(r.Context())
	if s.guard == nil || p.Name == "" {
		http.Redirect(w, r, "/login?next=%2Faccount", http.StatusSeeOther)
		return nil
	}
	page := AccountPage{Frame: s.bare(r, "account", "Account"), Groups: p.Groups, All: p.Role == munin.Admin, SignOut: p.Session != "" || s.guard.SignOutURL() != ""}
	page.Token = s.forms.token(w, r)
	page.Method = map[string]string{
		access.ByPassword: "by name and password", access.ByOIDC: "by the identity provider", access.ByProxy: "by the web server in front", access.ByToken: "with a token",
	}[p.Method]
	sessions, err := s.guard.Sessions(r.Context(), p)
	if err != nil {
		return err
	}
	now := time.Now().In(s.viewer(r).location)
	for i := range sessions {
		one := &sessions[i]
		page.Sessions = append(page.Sessions, SessionRow{
			ID: one.ID, Person: one.Person, Method: one.Method, Address: one.Address, Agent: clip(one.Agent, 120),
			Began: moment(one.Began, now), Seen: moment(one.Seen, now), This: one.ID == p.Session,
		})
	}
	slices.SortStableFunc(page.Sessions, func(a, b SessionRow) int {
		if a.This != b.This && a.This {
			return -1
		}
		return 0
	})
	w.Header().Set("Cache-Control", "no-store")
	return s.render(w, r, http.StatusOK, "account", page)
}

func (s *Server) endSession(w http.ResponseWriter, r *http.Request) error {
	p := access.Of(r.Context())
	if s.guard == nil || p.Name == "" {
		return munin.ErrNotFound
	}
	if err := s.guard.End(r.Context(), p, r.PostFormValue("session")); err != nil {
		return err
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
	return nil
}

// AuditPage is /audit.
type AuditPage struct {
	Frame
	Rows  []AuditRow
	Older string // address of what was before; empty: nothing
}

// AuditRow is one entry of the audit log.
type AuditRow struct {
	At *Moment
	munin.Change
}

const auditRows = 200

func (s *Server) audit(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Access == nil {
		return munin.ErrNotFound
	}
	var before time.Time
	if text := r.URL.Query().Get("before"); text != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return &badRequestError{errors.New("before is no time as 2026-11-21T14:05:00Z")}
		}
	}
	changes, err := s.opts.Access.Journal.Changes(r.Context(), before, auditRows)
	if err != nil {
		return err
	}
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	page := AuditPage{Frame: s.frame(r, f, "audit", "Audit log")}
	page.Refresh = 0
	for i := range changes {
		page.Rows = append(page.Rows, AuditRow{moment(changes[i].At, f.now), changes[i]})
	}
	if len(changes) == auditRows {
		page.Older = "/audit?" + url.Values{"before": {changes[auditRows-1].At.Format(time.RFC3339Nano)}}.Encode()
	}
	w.Header().Set("Cache-Control", "no-store")
	return s.render(w, r, http.StatusOK, "audit", page)
}
