package ui_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/net/html"

	"corbie/munin"
	"corbie/ui"
	"corbie/ui/access"
	"corbie/ui/uitest"
)

// passwords writes a password file: names and passwords in turn.
func passwords(tb testing.TB, path string, pairs ...string) string {
	tb.Helper()
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		hash, err := bcrypt.GenerateFromPassword([]byte(pairs[i+1]), bcrypt.MinCost)
		if err != nil {
			tb.Fatal(err)
		}
		b.WriteString(pairs[i] + ":" + string(hash) + "\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

const (
	viewerToken   = "corbie_viewer"
	operatorToken = "corbie_operator"
	adminToken    = "corbie_admin"
	shopToken     = "corbie_shop"
	oldToken      = "corbie_old"
)

// house is a guarded server with what it keeps.
type house struct {
	*ui.Server

	fleet    *uitest.Fleet
	doors    *uitest.Doors
	file     string
	settings access.Settings
}

// newHouse serves the made-up fleet to alice (admin), oscar (operator) and vera (viewer of the shop), and to programs with tokens.
func newHouse(tb testing.TB, change ...func(*access.Settings)) *house {
	tb.Helper()
	h := &house{fleet: uitest.New(time.Now())}
	token := func(name, text string, role munin.Role, groups ...string) munin.Token {
		return munin.Token{Name: name, Hash: access.HashToken(text), Role: role, Groups: groups, Created: time.Now()}
	}
	old := token("old", oldToken, munin.Admin)
	old.Ends = time.Now().Add(-time.Second)
	h.doors = uitest.NewDoors(token("reader", viewerToken, munin.Viewer), token("deploy", operatorToken, munin.Operator),
		token("robot", adminToken, munin.Admin), token("shop", shopToken, munin.Operator, "shop"), old)
	h.file = passwords(tb, filepath.Join(tb.TempDir(), "htpasswd"), "alice", "wonderland", "oscar", "operator", "vera", "viewer", "nobody", "nothing")
	h.settings = access.Settings{
		Htpasswd: h.file, URL: "http://example.com",
		Users: map[string]access.Grant{
			"alice": {Role: munin.Admin}, "oscar": {Role: munin.Operator}, "vera": {Role: munin.Viewer, Groups: []string{"shop"}},
		},
	}
	for _, c := range change {
		c(&h.settings)
	}
	f := h.fleet
	var err error
	h.Server, err = ui.New(ui.Options{
		Catalog: f, Samples: f, States: f, Reports: f, Faults: f, Acks: f, Notes: f, Index: f, Views: f, Tags: f.Tags, Facts: f.Facts, Location: time.UTC, Version: "0.1-test",
		Access:     &ui.Access{Sessions: h.doors, Tokens: h.doors, Journal: h.doors, Settings: h.settings},
		Prometheus: series{},
		Metrics:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics of all hosts\n")) }),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// series says whose hosts it would answer for.
type series struct{}

func (series) For(groups []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, "series of %v\n", groups) })
}

func TestAStrangerSeesNoLinksThatLeadNowhere(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/login", "/h/web2.example.com"} {
		answer := h.send(t, http.MethodGet, path, "", "Accept", "text/html")
		for answer.StatusCode == http.StatusSeeOther {
			answer = h.send(t, http.MethodGet, answer.Header.Get("Location"), "", "Accept", "text/html")
		}
		page, err := html.Parse(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		links := 0
		for n := range page.Descendants() {
			for _, a := range n.Attr {
				if n.Data != "a" || a.Key != "href" || strings.HasPrefix(a.Val, "#") {
					continue
				}
				links++
				if a.Val != "/" && !strings.HasPrefix(a.Val, "/login") {
					t.Errorf("%s has a link to %s", path, a.Val)
				}
			}
		}
		if links == 0 {
			t.Errorf("%s has no links: the test looks at nothing", path)
		}
	}
}

// send makes a request; headers are names and values in turn.
func (h *house) send(tb testing.TB, method, target, form string, headers ...string) *http.Response {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, target, strings.NewReader(form))
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := w.Result()
	tb.Cleanup(func() { answer.Body.Close() })
	return answer
}

// signIn gives back the session's cookie, as the header of a request has it.
func (h *house) signIn(tb testing.TB, name, password string, headers ...string) string {
	tb.Helper()
	answer := h.send(tb, http.MethodPost, "/login", url.Values{"name": {name}, "password": {password}}.Encode(), headers...)
	if answer.StatusCode != http.StatusSeeOther {
		tb.Fatalf("%s cannot sign in: %s", name, answer.Status)
	}
	for _, c := range answer.Cookies() {
		if strings.HasSuffix(c.Name, "corbie") {
			return c.Name + "=" + c.Value
		}
	}
	tb.Fatal("no cookie was set")
	return ""
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func TestWhoDidNotSignInIsSentToTheForm(t *testing.T) {
	h := newHouse(t)
	answer := h.send(t, http.MethodGet, "/h/web2.example.com?from=now-1d", "", "Accept", "text/html")
	if got := answer.Header.Get("Location"); answer.StatusCode != http.StatusSeeOther || got != "/login?next=%2Fh%2Fweb2.example.com%3Ffrom%3Dnow-1d" {
		t.Errorf("%s to %q", answer.Status, got)
	}
	for _, path := range []string{"/", "/problems", "/h/web2.example.com/load.svg", "/h/web2.example.com/load.json", "/metrics", "/feed.atom", "/search.json?q=web"} {
		answer := h.send(t, http.MethodGet, path, "")
		if answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/-/healthy", "/-/ready", "/login"} {
		if answer := h.send(t, http.MethodGet, path, ""); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	form := open(t, h, "/login", http.StatusOK)
	form.has("h1", "Sign in")
	if n := len(form.all(".counts")); n != 0 {
		t.Error("the form tells strangers what is wrong")
	}
}

func TestSigningInSetsACookieThatScriptsAndOtherSitesCannotUse(t *testing.T) {
	h := newHouse(t)
	answer := h.send(t, http.MethodPost, "/login", "name=alice&password=wonderland&next=%2Fproblems")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/problems" {
		t.Fatalf("%s to %q", answer.Status, answer.Header.Get("Location"))
	}
	c := answer.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure || c.Name != "corbie" {
		t.Errorf("the cookie is %+v", c)
	}
	if answer := h.send(t, http.MethodGet, "/", "", "Cookie", c.Name+"="+c.Value); answer.StatusCode != http.StatusOK {
		t.Errorf("with the cookie: %s", answer.Status)
	}
	secure := newHouse(t, func(s *access.Settings) { s.URL = "https://example.com" })
	if cookie := secure.signIn(t, "alice", "wonderland"); !strings.HasPrefix(cookie, "__Host-corbie=") {
		t.Errorf("an encrypted session has the cookie %s", cookie)
	}
}

func TestAWrongPasswordIsToldWithoutSayingWhatIsWrong(t *testing.T) {
	h := newHouse(t)
	var said []string
	for _, form := range []string{"name=alice&password=x", "name=mallory&password=x", "name=&password=", "name=alice&password=" + strings.Repeat("x", 2000)} {
		answer := h.send(t, http.MethodPost, "/login", form)
		if answer.StatusCode != http.StatusUnauthorized || len(answer.Cookies()) > 0 && strings.Contains(answer.Cookies()[0].Name, "corbie=") {
			t.Errorf("%.40s: %s", form, answer.Status)
		}
		body := readAll(t, answer)
		said = append(said, body[strings.Index(body, `role="alert"`):strings.Index(body, "<form")])
	}
	if said[0] != said[1] || !strings.Contains(said[0], "do not go together") {
		t.Errorf("a wrong password and an unknown name are told apart: %q %q", said[0], said[1])
	}
	changes, _ := h.doors.Changes(t.Context(), time.Time{}, 10)
	if len(changes) != 4 || !changes[0].Refused || strings.Contains(changes[3].Detail, "password") {
		t.Errorf("the audit log has %+v", changes)
	}
}

// TestSessionFixation: a cookie that somebody else planted never becomes a session, and the one of before ends.
func TestSessionFixation(t *testing.T) {
	h := newHouse(t)
	planted := "corbie=" + strings.Repeat("A", 52)
	first := h.signIn(t, "oscar", "operator", "Cookie", planted)
	if first == planted {
		t.Fatal("the session has the name that was planted")
	}
	if answer := h.send(t, http.MethodGet, "/", "", "Cookie", planted); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the planted cookie lets in: %s", answer.Status)
	}
	second := h.signIn(t, "alice", "wonderland", "Cookie", first)
	if second == first {
		t.Error("another person has the session of before")
	}
	if answer := h.send(t, http.MethodGet, "/", "", "Cookie", first); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session of before goes on: %s", answer.Status)
	}
}

// TestOpenRedirect: after signing in everybody stays here.
func TestOpenRedirect(t *testing.T) {
	h := newHouse(t)
	for _, next := range []string{
		"https://evil.example", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, "/\t/evil.example", "javascript:alert(1)",
		"data:text/html,x", "http:evil.example", "/%2f/evil.example\r\nX-Injected: 1", "evil.example", "", "/login?next=/login", "//user@evil.example/", "/..//evil.example",
		"@evil.example", "/\x00/x", " //evil.example", "https:/evil.example",
	} {
		answer := h.send(t, http.MethodPost, "/login", url.Values{"name": {"alice"}, "password": {"wonderland"}, "next": {next}}.Encode())
		to, err := url.Parse(answer.Header.Get("Location"))
		if err != nil || answer.StatusCode != http.StatusSeeOther || to.Host != "" || to.Scheme != "" || !strings.HasPrefix(to.Path, "/") || strings.HasPrefix(answer.Header.Get("Location"), "//") {
			t.Errorf("next=%q leads to %q (%s)", next, answer.Header.Get("Location"), answer.Status)
		}
		resolved, err := url.Parse("http://example.com/login")
		if err != nil {
			t.Fatal(err)
		}
		if got := resolved.ResolveReference(to); got.Host != "example.com" {
			t.Errorf("next=%q: a browser goes to %s", next, got)
		}
	}
	if got := access.Next("/h/web2.example.com/load?from=1&to=2"); got != "/h/web2.example.com/load?from=1&to=2" {
		t.Errorf("a page of ours became %q", got)
	}
}

func FuzzNext(f *testing.F) {
	for _, seed := range []string{"/", "//x", `/\x`, "/a?b=c#d", "https://x", "/%5cx", "/\u2028"} {
		f.Add(seed)
	}
	here, err := url.Parse("https://corbie.example.com/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, asked string) {
		next := access.Next(asked)
		u, err := here.Parse(next)
		if err != nil || u.Host != here.Host || u.Scheme != here.Scheme || strings.ContainsAny(next, "\\\r\n\t") {
			t.Errorf("%q leads to %q", asked, next)
		}
	})
}

// changingRoutes are the addresses that change something, as the code registers them.
func changingRoutes(tb testing.TB) []string {
	tb.Helper()
	text, err := os.ReadFile("routes.go")
	if err != nil {
		tb.Fatal(err)
	}
	var routes []string
	for _, m := range regexp.MustCompile(`"(?:POST|PUT|DELETE|PATCH) (/[^"]*)"`).FindAllStringSubmatch(string(text), -1) {
		routes = append(routes, regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(m[1], "x"))
	}
	if len(routes) < 8 {
		tb.Fatalf("only %q change something: the test does not see the routes", routes)
	}
	return routes
}

// TestCSRF: what a page elsewhere has a browser send changes nothing, on any address and by whatever header it shows.
func TestCSRF(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn(t, "alice", "wonderland")
	for _, route := range changingRoutes(t) {
		for _, from := range [][]string{
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site"},
			{"Origin", "https://evil.example"},
			{"Origin", "null"},
		} {
			answer := h.send(t, http.MethodPost, route, "name=alice&password=wonderland&text=x&comment=x", append(from, "Cookie", cookie)...)
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %q: %s", route, from, answer.Status)
			}
		}
	}
	if sessions, _ := h.doors.Sessions(t.Context()); len(sessions) != 1 {
		t.Errorf("%d sessions: somebody was signed in or out by another site", len(sessions))
	}
	// The form's own token is needed as well, even from here.
	answer := h.send(t, http.MethodPost, "/changes", "text=hello&kind=note", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("a form without a token: %s", answer.Status)
	}
}

func TestChangesByNobodyAreTakenAtThisMachineOnly(t *testing.T) {
	h := newHouse(t, func(s *access.Settings) {
		*s = access.Settings{Anonymous: access.Grant{Role: munin.Operator}, Local: true, URL: "http://127.0.0.1:8080"}
	})
	for host, want := range map[string]int{
		"localhost:8080": http.StatusCreated, "127.0.0.1:8080": http.StatusCreated, "[::1]:8080": http.StatusCreated,
		"rebound.evil.example:8080": http.StatusForbidden, "10.0.0.1": http.StatusForbidden,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/annotations?text=x&kind=deploy", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("a change at %s: status %d, want %d: %s", host, w.Code, want, w.Body)
		}
	}
	if answer := h.send(t, http.MethodGet, "/", ""); answer.StatusCode != http.StatusOK {
		t.Errorf("reading without an account: %s", answer.Status)
	}
	if answer := h.send(t, http.MethodGet, "/audit", ""); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the audit log without an account: %s", answer.Status)
	}
}

func TestRolesSayWhatMayBeDone(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		token, method, path string
		want                int
	}{
		{viewerToken, http.MethodGet, "/", http.StatusOK},
		{viewerToken, http.MethodPost, "/api/annotations?text=x&kind=deploy", http.StatusForbidden},
		{operatorToken, http.MethodPost, "/api/annotations?text=x&kind=deploy", http.StatusCreated},
		{operatorToken, http.MethodGet, "/audit", http.StatusForbidden},
		{adminToken, http.MethodGet, "/audit", http.StatusOK},
		{"corbie_wrong", http.MethodGet, "/", http.StatusUnauthorized},
		{oldToken, http.MethodGet, "/", http.StatusUnauthorized},
	} {
		if answer := h.send(t, c.method, c.path, "", bearer(c.token)...); answer.StatusCode != c.want {
			t.Errorf("%s %s with %s: %s, want %d", c.method, c.path, c.token, answer.Status, c.want)
		}
	}
	changes, _ := h.doors.Changes(t.Context(), time.Time{}, 10)
	if len(changes) != 2 || changes[0].Who != "deploy" || changes[0].Refused || changes[1].Who != "reader" || !changes[1].Refused {
		t.Errorf("the audit log has %+v", changes)
	}
	// Somebody who may nothing is told so, and not sent round in circles.
	cookie := h.signIn(t, "nobody", "nothing")
	answer := h.send(t, http.MethodGet, "/", "", "Cookie", cookie, "Accept", "text/html")
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(readAll(t, answer), "corbie.yml") {
		t.Errorf("somebody without a role: %s", answer.Status)
	}
}

func TestTheInterfaceForPrometheusIsGuarded(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		token, method, path string
		want                int
	}{
		{"", http.MethodGet, "/api/v1/query?query=up", http.StatusUnauthorized},
		{"", http.MethodPost, "/api/v1/query_range", http.StatusUnauthorized},
		{"", http.MethodGet, "/federate", http.StatusUnauthorized},
		{viewerToken, http.MethodGet, "/api/v1/query?query=up", http.StatusOK},
		{viewerToken, http.MethodPost, "/api/v1/query_range", http.StatusOK},
		{viewerToken, http.MethodGet, "/federate", http.StatusOK},
		{viewerToken, http.MethodPost, "/api/v1/write", http.StatusForbidden},
		{operatorToken, http.MethodPost, "/api/v1/admin/tsdb/delete_series", http.StatusForbidden},
		{adminToken, http.MethodPost, "/api/v1/write", http.StatusOK},
		{shopToken, http.MethodGet, "/api/v1/query?query=up", http.StatusOK},
		{shopToken, http.MethodPost, "/api/v1/write", http.StatusForbidden},
		{shopToken, http.MethodGet, "/federate", http.StatusOK},
		{shopToken, http.MethodGet, "/metrics", http.StatusForbidden},
	} {
		var headers []string
		if c.token != "" {
			headers = bearer(c.token)
		}
		if answer := h.send(t, c.method, c.path, "", headers...); answer.StatusCode != c.want {
			t.Errorf("%s %s with %q: %s, want %d", c.method, c.path, c.token, answer.Status, c.want)
		}
	}
}

func TestTheInterfaceForPrometheusIsToldWhichGroupsSomebodySees(t *testing.T) {
	h := newHouse(t)
	vera := []string{"Cookie", h.signIn(t, "vera", "viewer")}
	for _, path := range []string{"/api/v1/query?query=up", "/api/v1/series", "/federate"} {
		for _, c := range []struct {
			headers []string
			want    string
		}{
			{bearer(viewerToken), "series of []"}, {bearer(adminToken), "series of []"}, {bearer(shopToken), "series of [shop]"}, {vera, "series of [shop]"},
		} {
			if got := strings.TrimSpace(readAll(t, h.send(t, http.MethodGet, path, "", c.headers...))); got != c.want {
				t.Errorf("%s with %v: %s, want %s", path, c.headers, got, c.want)
			}
		}
	}
}

func TestWhoSeesAGroupSeesNothingOfOthersOnAnyPage(t *testing.T) {
	h := newHouse(t)
	cookie := []string{"Cookie", h.signIn(t, "vera", "viewer"), "Accept", "text/html"}
	hidden := regexp.MustCompile(`files\.example|print\.example|new\.example|fax\.example|lab;web1|office`)
	for _, path := range pagesOf(t, h.fleet) {
		answer := h.send(t, http.MethodGet, path, "", cookie...)
		body := readAll(t, answer)
		if plain, err := url.PathUnescape(path); err != nil || hidden.MatchString(plain) || strings.HasSuffix(plain, "/lab") {
			if answer.StatusCode == http.StatusOK && !strings.HasPrefix(path, "/g/") {
				t.Errorf("%s: %s", path, answer.Status)
			}
			continue
		}
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, answer.Status)
		}
		if at := hidden.FindStringIndex(body); at != nil {
			t.Errorf("%s tells of another group: …%s…", path, body[max(at[0]-80, 0):min(at[1]+40, len(body))])
		}
	}
	for _, path := range []string{"/h/files.example.com", "/h/office;files.example.com", "/h/files.example.com/df", "/h/files.example.com/df.svg", "/h/files.example.com/df.csv", "/metrics"} {
		if answer := h.send(t, http.MethodGet, path, "", cookie...); answer.StatusCode == http.StatusOK {
			t.Errorf("%s is shown", path)
		}
	}
	for where, want := range map[string]int{"shop": http.StatusCreated, "office": http.StatusBadRequest, "": http.StatusBadRequest, "files.example.com": http.StatusBadRequest} {
		answer := h.send(t, http.MethodPost, "/api/annotations?text=x&kind=note&where="+where, "", bearer(shopToken)...)
		if answer.StatusCode != want {
			t.Errorf("a note about %q: %s", where, answer.Status)
		}
	}
	// Nobody else gets a page that was made for somebody else.
	if body := readAll(t, h.send(t, http.MethodGet, "/", "", "Cookie", h.signIn(t, "alice", "wonderland"))); !strings.Contains(body, "files.example.com") {
		t.Error("alice does not see all")
	}
}
