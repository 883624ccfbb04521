// Package snmp asks SNMP agents for values, so that plugins can be suggested for the machines that they run on.
package snmp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
)

const (
	defaultPort    = 161
	defaultTimeout = 2 * time.Second
	// maxRows is how many values of a column are read. The table of a big switch has some thousands.
	maxRows = 10_000
	// maxValueBytes is how long a value may be.
	maxValueBytes = 4096
)

// Options say how to talk to agents. The zero value is version 2c with the community public.
type Options struct {
	Version   string // 1, 2c or 3
	Port      uint16
	Domain    string // udp, udp4, udp6, tcp, tcp4, tcp6
	Community string // for versions 1 and 2c

	// The user of version 3. With a password for privacy alone, it is the one for authentication too.
	User         string
	AuthPassword string
	AuthProtocol string // md5, sha, sha224, sha256, sha384, sha512
	PrivPassword string
	PrivProtocol string // des, aes, aes192, aes256, aes192c, aes256c

	Timeout time.Duration // for one answer; each question is asked twice
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	if o.Version == "3" && o.User == "" {
		return errors.New("version 3 needs the name of a user")
	}
	if o.Version != "3" && (o.User != "" || o.AuthPassword != "" || o.PrivPassword != "") {
		return errors.New("users and passwords are for version 3")
	}
	_, err := o.client("")
	return err
}

func (o Options) client(host string) (*gosnmp.GoSNMP, error) {
	c := &gosnmp.GoSNMP{
		Target: host, Port: o.Port, Transport: strings.ToLower(o.Domain), Community: o.Community,
		Timeout: o.Timeout, Retries: 1, MaxOids: 1, MaxRepetitions: 25,
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	switch c.Transport {
	case "":
		c.Transport = "udp"
	case "udp", "udp4", "udp6", "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("domain %q: want udp, udp4, udp6, tcp, tcp4 or tcp6", o.Domain)
	}
	if c.Community == "" {
		c.Community = "public"
	}
	switch o.Version {
	case "1":
		c.Version = gosnmp.Version1
	case "", "2c":
		c.Version = gosnmp.Version2c
	case "3":
		c.Version = gosnmp.Version3
		return c, o.secure(c)
	default:
		return nil, fmt.Errorf("version %q: want 1, 2c or 3", o.Version)
	}
	return c, nil
}

// secure sets what version 3 needs to know of the user.
func (o Options) secure(c *gosnmp.GoSNMP) error {
	auth, ok := map[string]gosnmp.SnmpV3AuthProtocol{
		"": gosnmp.MD5, "md5": gosnmp.MD5, "sha": gosnmp.SHA, "sha1": gosnmp.SHA, "sha224": gosnmp.SHA224, "sha256": gosnmp.SHA256,
		"sha384": gosnmp.SHA384, "sha512": gosnmp.SHA512,
	}[strings.ToLower(o.AuthProtocol)]
	if !ok {
		return fmt.Errorf("authentication by %q: want md5, sha, sha224, sha256, sha384 or sha512", o.AuthProtocol)
	}
	priv, ok := map[string]gosnmp.SnmpV3PrivProtocol{
		"": gosnmp.DES, "des": gosnmp.DES, "aes": gosnmp.AES, "aes128": gosnmp.AES, "aes192": gosnmp.AES192, "aes256": gosnmp.AES256,
		"aes192c": gosnmp.AES192C, "aes256c": gosnmp.AES256C,
	}[strings.ToLower(o.PrivProtocol)]
	if !ok {
		return fmt.Errorf("privacy by %q: want des, aes, aes192, aes256, aes192c or aes256c", o.PrivProtocol)
	}
	user := &gosnmp.UsmSecurityParameters{UserName: o.User, AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv}
	c.SecurityModel, c.MsgFlags, c.SecurityParameters = gosnmp.UserSecurityModel, gosnmp.NoAuthNoPriv, user
	if o.PrivPassword != "" {
		c.MsgFlags, user.PrivacyProtocol, user.PrivacyPassphrase = gosnmp.AuthPriv, priv, o.PrivPassword
		user.AuthenticationProtocol, user.AuthenticationPassphrase = auth, o.PrivPassword
	}
	if o.AuthPassword != "" {
		c.MsgFlags |= gosnmp.AuthNoPriv
		user.AuthenticationProtocol, user.AuthenticationPassphrase = auth, o.AuthPassword
	}
	return nil
}

// Session is a session with the agent of one host. Only one goroutine may use it at a time.
type Session struct {
	client *gosnmp.GoSNMP
}

// Dial opens a session with the agent of a host. Over UDP nothing is sent yet.
func Dial(ctx context.Context, host string, o Options) (*Session, error) {
	client, err := o.client(host)
	if err != nil {
		return nil, err
	}
	client.Context = ctx
	if err := client.Connect(); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &Session{client: client}, nil
}

// Close ends the session.
func (s *Session) Close() error { return s.client.Close() }

// Value asks for one value; false when the agent has none by that identifier.
func (s *Session) Value(ctx context.Context, oid string) (value string, ok bool, err error) {
	s.client.Context = ctx
	packet, err := s.client.Get([]string{"." + oid})
	if err != nil {
		return "", false, fmt.Errorf("ask for %s: %w", oid, err)
	}
	if packet.Error != gosnmp.NoError || len(packet.Variables) != 1 || strings.TrimPrefix(packet.Variables[0].Name, ".") != oid {
		return "", false, nil // Version 1 has no other way to say that there is no such value.
	}
	value, ok = text(packet.Variables[0])
	return value, ok, nil
}

var errTooMany = fmt.Errorf("more than %d values", maxRows)

// Column asks for all values below an identifier, by what follows it.
func (s *Session) Column(ctx context.Context, oid string) (map[string]string, error) {
	s.client.Context = ctx
	column := make(map[string]string)
	take := func(pdu gosnmp.SnmpPDU) error {
		row, below := strings.CutPrefix(strings.TrimPrefix(pdu.Name, "."), oid+".")
		value, ok := text(pdu)
		if below && ok {
			column[row] = value
		}
		if len(column) > maxRows {
			return errTooMany
		}
		return nil
	}
	walk := s.client.BulkWalk
	if s.client.Version == gosnmp.Version1 {
		walk = s.client.Walk
	}
	if err := walk("."+oid, take); err != nil {
		return nil, fmt.Errorf("ask for what is below %s: %w", oid, err)
	}
	return column, nil
}

// text is a value as plugins write their patterns for it: numbers in decimal, identifiers without the first dot,
// octets as they are. It says false when there is no value.
func text(pdu gosnmp.SnmpPDU) (string, bool) {
	switch pdu.Type {
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.EndOfMibView, gosnmp.Null:
		return "", false
	case gosnmp.Integer, gosnmp.Counter32, gosnmp.Gauge32, gosnmp.TimeTicks, gosnmp.Counter64, gosnmp.Uinteger32:
		return gosnmp.ToBigInt(pdu.Value).String(), true
	default:
		return octets(pdu)
	}
}

func octets(pdu gosnmp.SnmpPDU) (string, bool) {
	var s string
	switch value := pdu.Value.(type) {
	case []byte:
		s = string(value)
	case string:
		s = value
	default:
		s = fmt.Sprint(value)
	}
	if pdu.Type == gosnmp.ObjectIdentifier {
		s = strings.TrimPrefix(s, ".")
	}
	return s, len(s) <= maxValueBytes
}
