package ui_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"corbie/munin"
	"corbie/ui/access"
)

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(s *access.Settings) { s.Idle, s.Longest = time.Hour, 3*time.Hour })
		works := func(cookie string) bool {
			return h.send(t, http.MethodGet, "/problems", "", "Cookie", cookie).StatusCode == http.StatusOK
		}
		idle := h.signIn(t, "alice", "wonderland")
		time.Sleep(61 * time.Minute) //nolint:forbidigo // in fake time
		if works(idle) {
			t.Error("a session that nobody used goes on")
		}
		busy := h.signIn(t, "alice", "wonderland")
		for range 5 {
			time.Sleep(30 * time.Minute) //nolint:forbidigo // in fake time
			if !works(busy) {
				t.Fatal("a session that is used ended")
			}
		}
		time.Sleep(31 * time.Minute) //nolint:forbidigo // in fake time
		if works(busy) {
			t.Error("a session goes on for longer than it may")
		}
		changed, removed := h.signIn(t, "alice", "wonderland"), h.signIn(t, "oscar", "operator")
		passwords(t, h.file, "alice", "another")
		if works(changed) || works(removed) {
			t.Error("a session outlived its password")
		}
		last := h.signIn(t, "alice", "another")
		h.settings.Htpasswd = ""
		h.Reload(h.settings)
		if works(last) {
			t.Error("a session outlived the way by which it began")
		}
	})
}

func TestSessionsCanBeRevoked(t *testing.T) {
	h := newHouse(t)
	alice, oscar, other := h.signIn(t, "alice", "wonderland"), h.signIn(t, "oscar", "operator"), h.signIn(t, "oscar", "operator")
	status := func(cookie string) int {
		return h.send(t, http.MethodGet, "/", "", "Cookie", cookie).StatusCode
	}
	// end presses a button on the account page.
	end := func(cookie, session string) int {
		account := h.send(t, http.MethodGet, "/account", "", "Cookie", cookie)
		form := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(readAll(t, account))
		cookie += "; " + account.Cookies()[0].Name + "=" + account.Cookies()[0].Value
		return h.send(t, http.MethodPost, "/account/end", url.Values{"token": {form[1]}, "session": {session}}.Encode(), "Cookie", cookie).StatusCode
	}
	id := func(cookie string) string { return access.HashToken(cookie[strings.IndexByte(cookie, '=')+1:]) }
	if got := end(oscar, id(alice)); got != http.StatusNotFound || status(alice) != http.StatusOK {
		t.Errorf("an operator ends the session of an admin: %d", got)
	}
	if got := end(oscar, id(other)); got != http.StatusSeeOther || status(other) != http.StatusUnauthorized || status(oscar) != http.StatusOK {
		t.Errorf("one's own other session: %d", got)
	}
	if got := end(alice, id(oscar)); got != http.StatusSeeOther || status(oscar) != http.StatusUnauthorized {
		t.Errorf("an admin ends a session: %d", got)
	}
	if answer := h.send(t, http.MethodPost, "/logout", "", "Cookie", alice); answer.StatusCode != http.StatusSeeOther || status(alice) != http.StatusUnauthorized {
		t.Errorf("signing out: %s", answer.Status)
	}
}

func TestFailuresAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		try := func(password string) *http.Response {
			return h.send(t, http.MethodPost, "/login", "name=alice&password="+password)
		}
		for i := range 10 {
			if answer := try("wrong"); answer.StatusCode != http.StatusUnauthorized {
				t.Fatalf("attempt %d: %s", i, answer.Status)
			}
		}
		if answer := try("wonderland"); answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
			t.Errorf("after ten failures: %s", answer.Status)
		}
		for range 12 {
			h.send(t, http.MethodGet, "/", "", bearer("corbie_guess")...)
		}
		if answer := h.send(t, http.MethodGet, "/", "", bearer("corbie_guess")...); answer.StatusCode != http.StatusTooManyRequests {
			t.Errorf("guessed tokens: %s", answer.Status)
		}
		time.Sleep(2 * time.Minute) //nolint:forbidigo // in fake time
		if answer := try("wonderland"); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("after a while: %s", answer.Status)
		}
	})
}

func TestTheHeaderOfAProxyCountsFromTheProxyOnly(t *testing.T) {
	h := newHouse(t, func(s *access.Settings) {
		s.Proxy = &access.Proxy{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Header: "X-Remote-User", Teams: "X-Remote-Groups"}
		s.Teams = map[string]access.Grant{"sysadmins": {Role: munin.Admin}, "shopkeepers": {Role: munin.Viewer, Groups: []string{"shop"}}}
	})
	ask := func(from, path string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.RemoteAddr = from
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := ask("192.0.2.7:4000", "/", "X-Remote-User", "oscar"); w.Code != http.StatusOK {
		t.Errorf("by the proxy: %d", w.Code)
	}
	if w := ask("192.0.2.7:4000", "/audit", "X-Remote-User", "mia", "X-Remote-Groups", "staff, sysadmins"); w.Code != http.StatusOK {
		t.Errorf("a team of the proxy: %d", w.Code)
	}
	if w := ask("192.0.2.7:4000", "/h/files.example.com", "X-Remote-User", "sam", "X-Remote-Groups", "shopkeepers"); w.Code != http.StatusNotFound {
		t.Errorf("a host of another group: %d", w.Code)
	}
	for _, from := range []string{"198.51.100.1:4000", "[2001:db8::1]:4000", "127.0.0.1:4000"} {
		if w := ask(from, "/", "X-Remote-User", "alice", "X-Forwarded-For", "192.0.2.7"); w.Code != http.StatusUnauthorized {
			t.Errorf("the header from %s lets in: %d", from, w.Code)
		}
	}
	if w := ask("192.0.2.7:4000", "/"); w.Code != http.StatusUnauthorized {
		t.Errorf("by the proxy without a name: %d", w.Code)
	}
}

// TestHeaderInjection: nothing that a browser says becomes a header of the answer.
func TestHeaderInjection(t *testing.T) {
	h := newHouse(t)
	evil := "x\r\nX-Injected: yes\r\nSet-Cookie: corbie=evil"
	for _, target := range []string{
		"/login?next=" + url.QueryEscape("/h/"+evil), "/h/" + url.PathEscape(evil), "/g/" + url.PathEscape(evil), "/" + url.PathEscape(evil),
		"/search?q=" + url.QueryEscape(evil), "/h/web2.example.com/" + url.PathEscape(evil) + ".csv", "/v/" + url.PathEscape(evil),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			answer := h.send(t, method, target, "next="+url.QueryEscape("/"+evil)+"&name="+url.QueryEscape(evil)+"&password=x", bearer(adminToken)...)
			for name, values := range answer.Header {
				if strings.EqualFold(name, "X-Injected") || strings.ContainsAny(strings.Join(values, ""), "\r\n") || name == "Set-Cookie" && strings.Contains(values[0], "evil") {
					t.Errorf("%s %s: %s: %q", method, target, name, values)
				}
			}
		}
	}
}

// TestPathInjection: no address leads out of what is served.
func TestPathInjection(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{
		"/static/../../../../etc/passwd", "/static/x/..%2f..%2f..%2fetc%2fpasswd", "/static/x/%2e%2e%2f%2e%2e%2fgo.mod", "/static/../templates/frame.tmpl",
		"/static/x/..", "/h/..%2f..%2fetc%2fpasswd", "/h/web2.example.com/..%2f..%2f..%2fetc%2fpasswd.csv", "/v/..%2f..%2fcatalog.db", "/%2e%2e/%2e%2e/etc/passwd",
		"/static/x/style.css%00.png", "//etc/passwd", "/g/..%2f..", "/c/..%2f..%2f",
	} {
		answer := h.send(t, http.MethodGet, path, "", bearer(adminToken)...)
		body := readAll(t, answer)
		if strings.Contains(body, "root:") || strings.Contains(body, "module corbie") || strings.Contains(body, `{{define`) || strings.Contains(body, "SQLite format") {
			t.Errorf("%s shows a file: %.200s", path, body)
		}
		if strings.HasPrefix(path, "/static/") && answer.StatusCode == http.StatusOK {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
}
