package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// TLSMode says how much one side of a session wants it encrypted.
type TLSMode int

// The modes, as Munin names them.
const (
	// TLSDisabled never asks for encryption. A node still does what a master asks for, as Munin's does.
	TLSDisabled TLSMode = iota
	// TLSAuto encrypts when the other side can. Whoever sits in between can make it seem that it cannot.
	TLSAuto
	// TLSEnabled wants every session encrypted.
	TLSEnabled
	// TLSParanoid wants every session encrypted, and a certificate from the other side that the CA signed.
	TLSParanoid
)

// DefaultTLSDepth is how many certificates may stand between that of the other side and that of the CA.
const DefaultTLSDepth = 5

// handshakeTime bounds a handshake, which needs two round trips and some arithmetic.
const handshakeTime = 20 * time.Second

// ErrTLS says that a session was given up because it could not be encrypted as this side wants it.
var ErrTLS = errors.New("the session cannot be encrypted")

// ParseTLSMode reads a mode by its name, in any case.
func ParseTLSMode(text string) (TLSMode, error) {
	for mode := TLSDisabled; mode <= TLSParanoid; mode++ {
		if strings.EqualFold(text, mode.String()) {
			return mode, nil
		}
	}
	return TLSDisabled, fmt.Errorf("%q: want disabled, auto, enabled or paranoid", Excerpt([]byte(text)))
}

// String is the name of the mode.
func (m TLSMode) String() string {
	switch m {
	case TLSAuto:
		return "auto"
	case TLSEnabled:
		return "enabled"
	case TLSParanoid:
		return "paranoid"
	case TLSDisabled:
	}
	return "disabled"
}

// Required says that there is no session without encryption.
func (m TLSMode) Required() bool { return m == TLSEnabled || m == TLSParanoid }

// TLSSettings are what a configuration says about encryption.
type TLSSettings struct {
	Mode TLSMode
	// Key, Certificate and CA are files in PEM form. Key and certificate may be in one file; a certificate may
	// be followed by the chain that leads to the CA. The file of the CA may hold several.
	Key, Certificate, CA string
	// Verify wants a certificate that the other side shows to be signed by the CA; TLSParanoid implies it.
	// Names in it are not compared with anything, as Munin's certificates have none: that is for Match.
	Verify bool
	Depth  int // of the chain between the certificate and the CA's; 0: none in between
	// Match is a regular expression that must be found in the other side's certificate, written as
	// "Subject Name: /C=NO/O=Example/CN=node1" and "Issuer  Name: …" on two lines. Empty: anything.
	Match string
}

// TLSMatch compiles the regular expression of TLSSettings.Match; nil stands for the empty one.
func TLSMatch(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil //nolint:nilnil // no expression is an answer
	}
	match, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w; the language is RE2's, which has no look-around", err)
	}
	return match, nil
}

// tlsKeys are the contents of one side's files.
type tlsKeys struct {
	cert  *tls.Certificate // nil: none
	roots *x509.CertPool   // never nil
}

// asking says on which side of the session this is: the one that said STARTTLS, or the node. Which of them is
// the server of the TLS connection is another question.
type asking bool

// config is how one connection is encrypted. Certificates are checked here and not by the library, which would
// want names in them.
func (t *TLS) config(keys tlsKeys, side asking, server bool) *tls.Config {
	c := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		InsecureSkipVerify:     true, //nolint:gosec // checkPeer does it
		SessionTicketsDisabled: true,
		// A record that is not full is a line: see lineConn.
		DynamicRecordSizingDisabled: true,
		VerifyConnection:            func(s tls.ConnectionState) error { return t.checkPeer(s.PeerCertificates, keys.roots, side, server) },
	}
	if keys.cert != nil {
		c.Certificates = []tls.Certificate{*keys.cert}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return keys.cert, nil }
	}
	if server && (t.verifies() || t.match != nil) {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}

func (t *TLS) verifies() bool { return t.settings.Verify || t.settings.Mode == TLSParanoid }

// checkPeer says why the certificates that the other side showed, its own first, are not enough.
func (t *TLS) checkPeer(certs []*x509.Certificate, roots *x509.CertPool, side asking, server bool) error {
	if len(certs) == 0 {
		// Munin's node lets masters without a certificate in unless it is paranoid. A master never meant that.
		if t.settings.Mode == TLSParanoid || t.match != nil || t.verifies() && bool(side) {
			return errors.New("the other side shows no certificate")
		}
		return nil
	}
	if t.verifies() {
		if err := t.checkChain(certs, roots, server); err != nil {
			return err
		}
	}
	if t.match != nil && !t.match.MatchString(certificateText(certs[0])) {
		return fmt.Errorf("tls_match does not fit the certificate of %q", nameText(certs[0].RawSubject))
	}
	return nil
}

func (t *TLS) checkChain(certs []*x509.Certificate, roots *x509.CertPool, server bool) error {
	options := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if server {
		options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, cert := range certs[1:] {
		options.Intermediates.AddCert(cert)
	}
	chains, err := certs[0].Verify(options)
	if err != nil {
		advice := ""
		if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
			advice = "; the file of the CA must hold the certificate that signed it"
		}
		return fmt.Errorf("the certificate of %q is not trusted: %w%s", nameText(certs[0].RawSubject), err, advice)
	}
	for _, chain := range chains {
		const ends = 2 // the certificate and the CA's
		if len(chain)-ends <= t.settings.Depth {
			return nil
		}
	}
	return fmt.Errorf("the certificate of %q is more than tls_verify_depth %d away from the CA's", nameText(certs[0].RawSubject), t.settings.Depth)
}

// certificateText is what Munin compares tls_match with.
func certificateText(cert *x509.Certificate) string {
	return "Subject Name: " + nameText(cert.RawSubject) + "\nIssuer  Name: " + nameText(cert.RawIssuer) + "\n"
}

// nameText writes a name as OpenSSL does in one line: "/C=NO/O=Example/CN=node1".
func nameText(raw []byte) string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &name); err != nil || len(rest) > 0 {
		return ""
	}
	var b strings.Builder
	for _, set := range name {
		for _, part := range set {
			b.WriteString("/" + attributeName(part.Type) + "=")
			for _, c := range []byte(fmt.Sprint(part.Value)) {
				if c < ' ' || c > '~' {
					fmt.Fprintf(&b, "\\x%02X", c)
				} else {
					b.WriteByte(c)
				}
			}
		}
	}
	return b.String()
}

func attributeName(id asn1.ObjectIdentifier) string {
	for name, known := range map[string]string{
		"CN": "2.5.4.3", "SN": "2.5.4.4", "serialNumber": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8",
		"street": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "title": "2.5.4.12", "GN": "2.5.4.42",
		"emailAddress": "1.2.840.113549.1.9.1", "DC": "0.9.2342.19200300.100.1.25", "UID": "0.9.2342.19200300.100.1.1",
	} {
		if id.String() == known {
			return name
		}
	}
	return id.String()
}

// makeCertificate makes a certificate for one connection: for a side that must play the server and has none. It
// encrypts, and proves nothing.
func makeCertificate() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	const day = 24 * time.Hour
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corbie"},
		NotBefore: time.Now().Add(-day), NotAfter: time.Now().Add(day),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
