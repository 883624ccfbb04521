package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// writeCertificate makes a certificate for 127.0.0.1, which signs itself, and returns it.
func writeCertificate(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	testenv.WriteFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), 0o600)
	testenv.WriteFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// visitor is somebody with a browser who trusts some certificates, and follows no redirect by itself.
type visitor struct {
	client http.Client
	cookie string
	token  string
}

func newVisitor(trusted ...*x509.Certificate) *visitor {
	pool := x509.NewCertPool()
	for _, c := range trusted {
		pool.AddCert(c)
	}
	return &visitor{client: http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ask sends a request, with a form where there is one; the body is the answer's.
func (v *visitor) ask(t *testing.T, address string, form url.Values) (status int, body string, header http.Header) {
	t.Helper()
	method, content := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, content = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, content)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if v.cookie != "" {
		r.Header.Set("Cookie", v.cookie)
	}
	if v.token != "" {
		r.Header.Set("Authorization", "Bearer "+v.token)
	}
	answer, err := v.client.Do(r)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range answer.Cookies() {
		if strings.HasSuffix(c.Name, "-corbie") {
			v.cookie = c.Name + "=" + c.Value
		}
	}
	return answer.StatusCode, string(text), answer.Header
}

// guarded is a folder with a configuration that asks for passwords and encrypts.
func guarded(t *testing.T) (dir, conf string) {
	t.Helper()
	testenv.Program(t, "htpasswd")
	dir = t.TempDir()
	if out, err := exec.Command("htpasswd", "-cbB", "-C", "5", filepath.Join(dir, "htpasswd"), "alice", "wonderland").CombinedOutput(); err != nil {
		t.Fatalf("htpasswd: %v\n%s", err, out)
	}
	conf = filepath.Join(dir, "corbie.yml")
	testenv.WriteFile(t, conf, "data: "+dir+"/data\nlisten_tls: {certificate: cert.pem, key: key.pem}\naccess: {htpasswd: htpasswd, users: {alice: operator}}\n", 0o644)
	return dir, conf
}

func serveGuarded(t *testing.T, conf string) (*process, string) {
	t.Helper()
	p := start(t, "corbie serve", nil, "corbie", "serve", "--config", conf, "--listen", "127.0.0.1:0")
	_, address, _ := strings.Cut(p.WaitFor(t, "msg=listening"), " url=")
	address, _, _ = strings.Cut(address, " ")
	return p, address
}

func TestPeopleSignInEncryptedAndStayWhenTheMasterIsKilled(t *testing.T) {
	t.Parallel()
	dir, conf := guarded(t)
	first := writeCertificate(t, dir)
	if out := mustCorbie(t, "check", conf); !strings.Contains(out, "ok") {
		t.Error(out)
	}
	p, address := serveGuarded(t, conf)
	if !strings.HasPrefix(address, "https://127.0.0.1:") {
		t.Fatalf("it listens at %s", address)
	}
	v := newVisitor(first)
	if status, body, _ := v.ask(t, address+"/problems", nil); status != http.StatusUnauthorized {
		t.Fatalf("without a session: %d %s", status, body)
	}
	status, body, header := v.ask(t, address+"/login", url.Values{"name": {"alice"}, "password": {"wonderland"}, "next": {"/problems"}})
	if status != http.StatusSeeOther || header.Get("Location") != "/problems" || !strings.HasPrefix(v.cookie, "__Host-corbie=") {
		t.Fatalf("signing in: %d, cookie %q, %s", status, v.cookie, body)
	}
	p.Kill()
	p, address = serveGuarded(t, conf)
	if status, body, _ := v.ask(t, address+"/problems", nil); status != http.StatusOK || !strings.Contains(body, "alice") {
		t.Fatalf("the session did not survive the master: %d", status)
	}
	// Another certificate is taken over without a new start; the old one is no longer trusted then.
	second := writeCertificate(t, dir)
	if fmt.Sprint(first.SerialNumber) == fmt.Sprint(second.SerialNumber) {
		t.Fatal("the certificates are the same")
	}
	again := newVisitor(second)
	testenv.Eventually(t, "the new certificate is used", func() bool {
		status, _, _ := again.ask(t, address+"/healthz", nil)
		return status == http.StatusOK
	})
	// Who may nothing any more is stopped by a reload.
	testenv.WriteFile(t, conf, strings.Replace(readFile(t, conf), "alice: operator", "alice: none", 1), 0o644)
	p.Signal(t, syscall.SIGHUP)
	p.WaitFor(t, "configuration reloaded")
	again.cookie = v.cookie
	if status, _, _ := again.ask(t, address+"/problems", nil); status != http.StatusForbidden {
		t.Errorf("after the reload: %d", status)
	}
}

// TestTokensAreMadeAndRevokedBesideARunningMaster and nothing that is said in place of a name reaches the database as anything but a text.
func TestTokensAreMadeAndRevokedBesideARunningMaster(t *testing.T) {
	t.Setenv("SUDO_USER", "ann")
	dir, conf := guarded(t)
	certificate := writeCertificate(t, dir)
	_, address := serveGuarded(t, conf)
	token := strings.TrimSpace(mustCorbie(t, "token", "add", "deploy", "--role", "operator", "--expires", "1y", "--config", conf))
	v := newVisitor(certificate)
	v.token = token
	if status, body, _ := v.ask(t, address+"/api/annotations", url.Values{"kind": {"deploy"}, "text": {"shop 4.2"}}); status != http.StatusCreated {
		t.Fatalf("a note by token: %d %s", status, body)
	}
	if _, talk, code := corbie(t, "token", "add", "deploy", "--config", conf); code != exitFailed || !strings.Contains(talk, "one of that name already") {
		t.Errorf("a second token of that name: exit %d: %s", code, talk)
	}
	for _, evil := range []string{"' OR '1'='1", `x"; DROP TABLE sessions; --`, "deploy'--", "%", "*", "\x00"} {
		guest := newVisitor(certificate)
		if status, _, _ := guest.ask(t, address+"/login", url.Values{"name": {evil}, "password": {evil}}); status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			t.Errorf("signing in as %q: %d", evil, status)
		}
		guest.cookie = "__Host-corbie=" + url.QueryEscape(strings.Repeat(evil, 10))
		if status, _, _ := guest.ask(t, address+"/", nil); status != http.StatusUnauthorized {
			t.Errorf("the cookie %q: %d", evil, status)
		}
		for _, path := range []string{"/h/" + url.PathEscape(evil), "/search?q=" + url.QueryEscape(evil), "/v/" + url.PathEscape(evil), "/x/" + url.PathEscape(evil)} {
			if status, body, _ := v.ask(t, address+path, nil); status >= http.StatusInternalServerError || strings.Contains(body, "SQL") {
				t.Errorf("%s: %d", path, status)
			}
		}
	}
	if out := mustCorbie(t, "token", "list", "--config", conf); !strings.Contains(out, "deploy  operator  all") || !strings.Contains(out, "ann") {
		t.Errorf("the tokens are\n%s", out)
	}
	mustCorbie(t, "token", "revoke", "deploy", "--config", conf)
	if status, _, _ := v.ask(t, address+"/", nil); status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", status)
	}
	var changes []changeRow
	if err := json.Unmarshal([]byte(mustCorbie(t, "audit", "--config", conf, "--format", "json", "--since", "now-1h")), &changes); err != nil {
		t.Fatal(err)
	}
	var done []string
	for _, c := range changes {
		if !c.Refused {
			done = append(done, c.Who+" "+c.Action)
		}
	}
	if got := strings.Join(done, ", "); got != "ann token revoke, deploy POST /api/annotations, ann token add" {
		t.Errorf("the audit log has %s", got)
	}
}
