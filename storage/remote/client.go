package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// Engine is the kind of an engine: they differ in how raw samples are read back.
type Engine string

// The engines.
const (
	VictoriaMetrics Engine = "victoriametrics" // by its export
	Prometheus      Engine = "prometheus"      // by remote read
	Mimir           Engine = "mimir"           // by remote read
	Thanos          Engine = "thanos"          // by PromQL alone
)

// Target is where an engine is and how it is talked to.
type Target struct {
	Engine Engine
	// Write is the address that takes remote write. Read is what stands before /api/v1/query.
	Write, Read string
	// Headers go with each request: a tenant, for example.
	Headers            map[string]string
	Username, Password string
	Token              string // sent as "Authorization: Bearer"
	CA                 []byte // PEM; empty: what the machine trusts
	InsecureSkipVerify bool
	Timeout            time.Duration // of one request; 0: 30 seconds
}

const (
	defaultTimeout = 30 * time.Second
	// maxAnswer limits what is read of one answer.
	maxAnswer = 1 << 30
	// maxExcerpt is how much of what an engine says of an error is kept.
	maxExcerpt = 500
)

// Addresses are where an engine at one address usually takes samples and is asked for them.
func (e Engine) Addresses(base string) (write, read string) {
	base = strings.TrimRight(base, "/")
	switch e {
	case Mimir:
		return base + "/api/v1/push", base + "/prometheus"
	case Thanos:
		return base + "/api/v1/receive", base
	case VictoriaMetrics, Prometheus:
	}
	return base + "/api/v1/write", base
}

// client sends requests to one engine.
type client struct {
	target Target
	http   *http.Client
}

func newClient(t Target) (*client, error) {
	if t.Timeout <= 0 {
		t.Timeout = defaultTimeout
	}
	t.Read = strings.TrimRight(t.Read, "/")
	for _, address := range []string{t.Write, t.Read} {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%q is no address of an engine: want http:// or https://", address)
		}
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.InsecureSkipVerify} //nolint:gosec // as configured
	if len(t.CA) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("the file of the certificate authority holds no certificate in PEM form")
		}
	}
	return &client{target: t, http: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig, MaxIdleConns: 32, MaxIdleConnsPerHost: 16,
			IdleConnTimeout: time.Minute, ResponseHeaderTimeout: t.Timeout, ForceAttemptHTTP2: true,
		},
		// A redirect would lose the body, or send the password elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// statusError is an answer other than 2xx.
type statusError struct {
	status int
	text   string
	after  time.Duration // what the engine asks to wait; 0: it does not say
	counts bool          // it says how many samples it has written, as receivers of remote write 2.0 do
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("it answers %d %s", e.status, http.StatusText(e.status))
	if e.text != "" {
		text += ": " + e.text
	}
	switch e.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		text += " (check username, password, token and headers of remote in corbie.yml)"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		text += " (check the address in corbie.yml, and that the engine takes remote write: Prometheus needs --web.enable-remote-write-receiver)"
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		text += " (redirects are not followed: write the final address into corbie.yml)"
	}
	return text
}

// post sends one request and gives the answer when it is 2xx; the caller closes its body.
func (c *client) post(ctx context.Context, address string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	return c.do(req)
}

// get asks for a path below the read address.
func (c *client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.target.Read+path+"?"+c.whole(query).Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(req) //nolint:bodyclose // the caller closes it
	if err != nil {
		return nil, c.readError(err)
	}
	return limited{io.LimitReader(resp.Body, maxAnswer), resp.Body}, nil
}

func (c *client) do(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", "corbie")
	for name, value := range c.target.Headers {
		req.Header.Set(name, value)
	}
	switch {
	case c.target.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.target.Token)
	case c.target.Username != "":
		req.SetBasicAuth(c.target.Username, c.target.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var plain *url.Error
		if errors.As(err, &plain) {
			err = plain.Err // the address is said by the caller, without what may be secret in it
		}
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxExcerpt))
	e := &statusError{status: resp.StatusCode, text: munin.CleanText(strings.TrimSpace(strings.ToValidUTF8(string(text), "?")))}
	e.after, e.counts = retryAfter(resp.Header.Get("Retry-After"), time.Now()), resp.Header.Get(writtenHeader) != ""
	return nil, e
}

// longestRetryAfter bounds what is believed of an engine that asks to wait.
const longestRetryAfter = time.Hour

// retryAfter reads the header of that name: seconds, or a date. Zero is no wait, or one that nobody means.
func retryAfter(text string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil && seconds <= int(longestRetryAfter/time.Second) {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	if wait < 0 || wait > longestRetryAfter {
		return 0
	}
	return wait
}

// whole asks Thanos for all or nothing: by default it answers with what it could reach, and with averages where it has them.
func (c *client) whole(form url.Values) url.Values {
	if c.target.Engine == Thanos {
		form.Set("partial_response", "false")
		form.Set("max_source_resolution", "0s")
	}
	return form
}

// ask sends a form to a path below the read address.
func (c *client) ask(ctx context.Context, path string, form url.Values) (io.ReadCloser, error) {
	form = c.whole(form)
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	resp, err := c.post(ctx, c.target.Read+path, header, []byte(form.Encode())) //nolint:bodyclose // the caller closes it
	if err != nil {
		return nil, c.readError(err)
	}
	return limited{io.LimitReader(resp.Body, maxAnswer), resp.Body}, nil
}

type limited struct {
	io.Reader
	io.Closer
}

// readError words why the engine could not be asked. Where it is the engine that is away, and not the question that is wrong, it
// is munin.ErrAway.
func (c *client) readError(err error) error {
	var status *statusError
	if errors.As(err, &status) && status.status/100 == 4 && status.status != http.StatusTooManyRequests {
		return fmt.Errorf("ask %s at %s: %w", c.target.Engine, c.target.Read, err)
	}
	return fmt.Errorf("%w: %s at %s: %w", munin.ErrAway, c.target.Engine, c.target.Read, err)
}
