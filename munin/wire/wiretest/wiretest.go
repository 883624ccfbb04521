// Package wiretest makes certificates for tests of encrypted sessions.
package wiretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority with its files in a folder of its own.
type CA struct {
	File string // its certificate

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// chain leads from this authority to the one that signed it, which is in nobody's file.
	chain []byte
}

// NewCA makes an authority. Everybody may read its files, as tests run programs as other users.
func NewCA(tb testing.TB, name string) *CA {
	tb.Helper()
	dir := tb.TempDir()
	for _, folder := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // see above
			tb.Fatal(err)
		}
	}
	return newCA(tb, dir, name, nil)
}

// Under makes an authority that another one signed. What it issues comes with its own certificate.
func (ca *CA) Under(tb testing.TB, name string) *CA {
	tb.Helper()
	return newCA(tb, ca.dir, name, ca)
}

func newCA(tb testing.TB, dir, name string, parent *CA) *CA {
	tb.Helper()
	template := newTemplate(name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	ca := &CA{dir: dir, File: filepath.Join(dir, name+"-ca.pem")}
	var der []byte
	ca.key, der = sign(tb, template, parent)
	var err error
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if parent != nil {
		ca.chain = append(own, parent.chain...)
	}
	write(tb, ca.File, own)
	return ca
}

// Issue makes a key and a certificate and returns the file that holds both, with the chain where there is one.
func (ca *CA) Issue(tb testing.TB, name string) string {
	tb.Helper()
	key, der := sign(tb, newTemplate(name), ca)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	file := filepath.Join(ca.dir, name+".pem")
	write(tb, file, append(text, ca.chain...))
	return file
}

func newTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{Country: []string{"NO"}, Organization: []string{"Test"}, CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

// sign makes a key and signs its certificate; without a parent, by itself.
func sign(tb testing.TB, template *x509.Certificate, parent *CA) (*ecdsa.PrivateKey, []byte) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	const serialBits = 64
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits)); err != nil {
		tb.Fatal(err)
	}
	issuer, signer := template, key
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	return key, der
}

func write(tb testing.TB, file string, text []byte) {
	tb.Helper()
	if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // see NewCA
		tb.Fatal(err)
	}
}
