package ui_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"corbie/munin"
	"corbie/ui/access"
)

// identities is an OpenID Connect provider: it asks for a name on a page of its own, insists on PKCE and on its client's
// secret, and gives each code out once.
type identities struct {
	*oidctest.Server

	key   *rsa.PrivateKey
	url   string
	spoil func(claims map[string]any) // nil: they are as they should be

	mu    sync.Mutex
	codes map[string]url.Values // what was asked for, with the name
}

func newIdentities(tb testing.TB) *identities {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	p := &identities{key: key, codes: make(map[string]url.Values)}
	p.Server = &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "one", Algorithm: oidc.RS256}}}
	server := httptest.NewServer(p)
	tb.Cleanup(server.Close)
	p.url = server.URL
	p.SetIssuer(server.URL)
	return p
}

// ServeHTTP has the pages that oidctest leaves out.
func (p *identities) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.url, "authorization_endpoint": p.url + "/auth", "token_endpoint": p.url + "/token", "jwks_uri": p.url + "/keys",
			"id_token_signing_alg_values_supported": []string{oidc.RS256}, "response_types_supported": []string{"code"},
		})
	case "/favicon.ico":
		w.WriteHeader(http.StatusNoContent)
	case "/auth":
		q := r.URL.Query()
		if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("state") == "" || q.Get("nonce") == "" || q.Get("response_type") != "code" {
			http.Error(w, "this provider wants a code flow with PKCE, state and nonce", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>Identities</title><form action="/ok"><input id="who" name="who"><input type="hidden" name="q" value="%s"><button id="go">Go</button></form>`,
			base64.URLEncoding.EncodeToString([]byte(r.URL.RawQuery)))
	case "/ok":
		raw, _ := base64.URLEncoding.DecodeString(r.FormValue("q"))
		asked, _ := url.ParseQuery(string(raw))
		asked.Set("who", r.FormValue("who"))
		code := rand.Text()
		p.mu.Lock()
		p.codes[code] = asked
		p.mu.Unlock()
		http.Redirect(w, r, asked.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {asked.Get("state")}}.Encode(), http.StatusSeeOther)
	case "/token":
		p.token(w, r)
	default:
		p.Server.ServeHTTP(w, r)
	}
}

func (p *identities) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	asked := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	client, secret, _ := r.BasicAuth()
	if asked == nil || client != "corbie" || secret != "s3cret" || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") ||
		r.FormValue("redirect_uri") != asked.Get("redirect_uri") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	claims := map[string]any{
		"iss": p.url, "aud": "corbie", "sub": "17", "exp": time.Now().Add(time.Hour).Unix(), "nonce": asked.Get("nonce"),
		"preferred_username": asked.Get("who"), "groups": []string{"sysadmins", "staff"},
	}
	if p.spoil != nil {
		p.spoil(claims)
	}
	text, _ := json.Marshal(claims)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": "x", "token_type": "Bearer", "id_token": oidctest.SignIDToken(crypto.PrivateKey(p.key), "one", oidc.RS256, string(text)),
	})
}

// withOIDC lets people in by a provider, at an address that is known later.
func withOIDC(p *identities) func(*access.Settings) {
	return func(s *access.Settings) {
		s.OIDC = &access.OIDC{Issuer: p.url, Client: "corbie", Secret: "s3cret"}
		s.Teams = map[string]access.Grant{"sysadmins": {Role: munin.Admin}}
	}
}

func TestPeopleSignInAndOutInABrowserByPassword(t *testing.T) {
	h := newHouse(t)
	ctx, address := browser(t, h)
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/h/web2.example.com/load"))
	waitFor(t, ctx, `document.querySelector('#password') !== null`)
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#name"), "alice"), chromedp.SendKeys(chromedp.CSS("#password"), "wonderland\r"))
	waitFor(t, ctx, `location.pathname === '/h/web2.example.com/load' && document.querySelector('.site')?.textContent.includes('alice')`)
	signOutInBrowser(t, ctx, address, "alice")
	quiet(t, ctx, messages)
	// A wrong password is told, and the browser gets its own console error for the status; the name stays.
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#name"), "alice"), chromedp.SendKeys(chromedp.CSS("#password"), "nonsense\r"))
	waitFor(t, ctx, `document.querySelector('[role=alert]')?.textContent.includes('do not go together') && document.querySelector('#name').value === 'alice'`)
}

func TestPeopleSignInAndOutInABrowserByOpenIDConnect(t *testing.T) {
	p := newIdentities(t)
	h := newHouse(t, withOIDC(p))
	ctx, address := browser(t, h)
	h.settings.URL = address
	h.Reload(h.settings)
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/audit"))
	waitFor(t, ctx, `document.querySelector('.login-other a') !== null`)
	do(t, ctx, chromedp.Click(chromedp.CSS(".login-other a")))
	waitFor(t, ctx, `document.title === 'Identities'`)
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#who"), "mia"), chromedp.Click(chromedp.CSS("#go")))
	waitFor(t, ctx, `location.pathname === '/audit' && document.querySelector('.audit')?.textContent.includes('mia')`)
	signOutInBrowser(t, ctx, address, "mia")
	quiet(t, ctx, messages)
}

func TestPeopleSignInByTheProxyInABrowser(t *testing.T) {
	h := newHouse(t, func(s *access.Settings) {
		s.Proxy = &access.Proxy{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Header: "X-Remote-User"}
	})
	behind := httptest.NewServer(h)
	t.Cleanup(behind.Close)
	to, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
		r.Out.Header.Set("X-Remote-User", "oscar")
	}}
	h.settings.Proxy.SignOut = "http://127.0.0.1:1/out"
	h.Reload(h.settings)
	ctx, address := browser(t, proxy)
	messages := chromedp.Console(ctx)
	do(t, ctx, chromedp.Navigate(address+"/account"))
	waitFor(t, ctx, `document.querySelector('h1')?.textContent === 'oscar' && document.querySelector('.head').textContent.includes('by the web server in front')`)
	// Signing out leads by two more hosts, as proxies of identity providers do.
	last := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<!doctype html><title>Signed out everywhere</title>"))
	}))
	t.Cleanup(last.Close)
	first := httptest.NewServer(http.RedirectHandler(last.URL+"/bye?a=1&b=2", http.StatusFound))
	t.Cleanup(first.Close)
	h.settings.Proxy.SignOut = first.URL + "/out?rd=1&x=2"
	h.Reload(h.settings)
	do(t, ctx, chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)))
	waitFor(t, ctx, `document.title === 'Signed out everywhere' && location.search === '?a=1&b=2'`)
	quiet(t, ctx, messages)
	answer := h.send(t, http.MethodPost, "/logout", "", "X-Remote-User", "oscar")
	if got := answer.Header.Get("Location"); got != "/login" {
		t.Errorf("somebody who is not behind the proxy is sent to %q", got)
	}
}

func signOutInBrowser(t *testing.T, ctx context.Context, address, name string) { //nolint:revive // t first, as in every helper of a test
	t.Helper()
	do(t, ctx, chromedp.Navigate(address+"/account"))
	waitFor(t, ctx, `document.querySelector('h1')?.textContent === `+quote(name))
	do(t, ctx, chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)))
	waitFor(t, ctx, `location.pathname === '/login'`)
	do(t, ctx, chromedp.Navigate(address+"/problems"))
	waitFor(t, ctx, `location.pathname === '/login' && new URL(location.href).searchParams.get('next') === '/problems'`)
}

// jar is a browser without a window: it keeps cookies and follows no redirect by itself.
type jar struct {
	h       *house
	cookies map[string]string
}

func (j *jar) get(t *testing.T, target string) *http.Response {
	t.Helper()
	var pairs []string
	for name, value := range j.cookies {
		pairs = append(pairs, name+"="+value)
	}
	answer := j.h.send(t, http.MethodGet, target, "", "Cookie", strings.Join(pairs, "; "))
	for _, c := range answer.Cookies() {
		j.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(j.cookies, c.Name)
		}
	}
	return answer
}

func TestASignInByTheProviderThatIsNotOursIsRefused(t *testing.T) {
	p := newIdentities(t)
	h := newHouse(t, withOIDC(p))
	for name, attack := range map[string]struct {
		spoil  func(map[string]any)
		change func(j *jar, back *url.URL)
	}{
		"all is well":                   {},
		"the state of another sign-in":  {change: func(_ *jar, u *url.URL) { q := u.Query(); q.Set("state", "guess"); u.RawQuery = q.Encode() }},
		"a browser that did not begin":  {change: func(j *jar, _ *url.URL) { clear(j.cookies) }},
		"a code that somebody made up":  {change: func(_ *jar, u *url.URL) { q := u.Query(); q.Set("code", "guess"); u.RawQuery = q.Encode() }},
		"the provider refuses":          {change: func(_ *jar, u *url.URL) { q := u.Query(); q.Set("error", "access_denied"); u.RawQuery = q.Encode() }},
		"a token for another client":    {spoil: func(c map[string]any) { c["aud"] = "other" }},
		"a token of another provider":   {spoil: func(c map[string]any) { c["iss"] = "https://evil.example" }},
		"a token that has expired":      {spoil: func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }},
		"a token for another sign-in":   {spoil: func(c map[string]any) { c["nonce"] = "other" }},
		"a token without a name":        {spoil: func(c map[string]any) { delete(c, "preferred_username") }},
		"a token with an endless name":  {spoil: func(c map[string]any) { c["preferred_username"] = strings.Repeat("x", 5000) }},
		"a token with a name of blanks": {spoil: func(c map[string]any) { c["preferred_username"] = " \n" }},
	} {
		p.spoil = attack.spoil
		j := &jar{h: h, cookies: make(map[string]string)}
		begin := j.get(t, "/login/oidc?next=/problems")
		to, err := url.Parse(begin.Header.Get("Location"))
		if err != nil || begin.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s to %q", name, begin.Status, to)
		}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet,
			"/ok?who=mia&q="+url.QueryEscape(base64.URLEncoding.EncodeToString([]byte(to.RawQuery))), nil))
		back, err := url.Parse(w.Header().Get("Location"))
		if err != nil || back.Path != access.CallbackPath {
			t.Fatalf("%s: the provider sends to %q", name, back)
		}
		if attack.change != nil {
			attack.change(j, back)
		}
		end := j.get(t, back.RequestURI())
		in := j.get(t, "/problems").StatusCode == http.StatusOK
		if good := attack.spoil == nil && attack.change == nil; good != in {
			t.Errorf("%s: signed in is %v: %s", name, in, end.Status)
		}
		if in {
			if again := j.get(t, back.RequestURI()); again.StatusCode != http.StatusUnauthorized {
				t.Errorf("the same answer of the provider works twice: %s", again.Status)
			}
		}
	}
}
