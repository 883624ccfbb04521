package wire

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// maxPEMBytes is more than any file of keys or certificates has.
const maxPEMBytes = 4 << 20

// TLS is one side's settings with what is in its files. The files are looked at before each handshake and read
// again when they changed; while new ones cannot be used, those of before stay. It may be used by several
// goroutines.
type TLS struct {
	settings TLSSettings
	match    *regexp.Regexp

	mu     sync.Mutex
	keys   tlsKeys
	stamps [3]stamp
	looked bool
	hasCA  bool
	keyErr error
	caErr  error
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// NewTLS checks the settings. It reads no file.
func NewTLS(settings TLSSettings) (*TLS, error) {
	match, err := TLSMatch(settings.Match)
	if err != nil {
		return nil, fmt.Errorf("tls_match: %w", err)
	}
	return &TLS{settings: settings, match: match, keys: tlsKeys{roots: x509.NewCertPool()}}, nil
}

// Settings are those that it was made of.
func (t *TLS) Settings() TLSSettings { return t.settings }

// TLSFiles say what is wrong with one side's files as they are now, and what is in use all the same.
type TLSFiles struct {
	Key    error // of key and certificate
	CA     error // only when certificates are to be checked
	HasKey bool  // one that could be read, now or before
	HasCA  bool
}

// Check reads the files where they changed and says what is wrong with them now. A side without a key or a CA
// can still be of use, unless it is paranoid.
func (t *TLS) Check() TLSFiles {
	t.refresh()
	t.mu.Lock()
	defer t.mu.Unlock()
	faults := TLSFiles{Key: t.keyErr, HasKey: t.keys.cert != nil, HasCA: t.hasCA}
	if t.verifies() {
		faults.CA = t.caErr
	}
	return faults
}

// refresh returns what is in the files now, or was when they could last be used.
func (t *TLS) refresh() tlsKeys {
	t.mu.Lock()
	defer t.mu.Unlock()
	var now [3]stamp
	for i, path := range []string{t.settings.Key, t.settings.Certificate, t.settings.CA} {
		if info, err := os.Stat(path); err == nil {
			now[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	if t.looked && now == t.stamps {
		return t.keys
	}
	t.looked, t.stamps = true, now
	cert, err := readKeyPair(t.settings.Key, t.settings.Certificate)
	if t.keyErr = err; err == nil {
		t.keys.cert = cert
	}
	roots, err := readCAs(t.settings.CA)
	if t.caErr = err; err == nil {
		t.keys.roots, t.hasCA = roots, true
	}
	return t.keys
}

func readKeyPair(keyFile, certFile string) (*tls.Certificate, error) {
	key, err := readPEM("key", keyFile)
	if err != nil {
		return nil, err
	}
	cert, err := readPEM("certificate", certFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return &pair, nil
	case strings.Contains(string(key), "ENCRYPTED"):
		return nil, fmt.Errorf("the key in %s has a passphrase, which nobody can be asked for: store it without", keyFile)
	}
	return nil, fmt.Errorf("key %s and certificate %s: %w", keyFile, certFile, err)
}

func readCAs(file string) (*x509.CertPool, error) {
	text, err := readPEM("CA certificate", file)
	if err != nil {
		return nil, err
	}
	pool, n := x509.NewCertPool(), 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("CA certificate %s: %w", file, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("CA certificate %s: it holds no certificate in PEM form", file)
	}
	return pool, nil
}

func readPEM(what, path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("no " + what + " is set")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPEMBytes+1))
	if err == nil && len(text) > maxPEMBytes {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxPEMBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return text, nil
}
