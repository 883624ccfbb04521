package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"corbie/munin"
)

// Limits of sign-ins that were begun and are not over.
const (
	pendingTime = 10 * time.Minute
	mostPending = 10_000
	askProvider = 15 * time.Second
)

// CallbackPath is where a provider sends people back to.
const CallbackPath = "/login/callback"

// provider is what is known of the OpenID Connect provider, once it was asked.
type provider struct {
	client *http.Client

	mu      sync.Mutex
	of      OIDC
	found   *oidc.Provider
	pending map[string]pending // by what the browser's cookie holds
}

// pending is a sign-in that was begun.
type pending struct {
	state, nonce, verifier, next string
	until                        time.Time
}

func newProvider() *provider {
	return &provider{client: &http.Client{Timeout: askProvider}, pending: make(map[string]pending)}
}

// discover asks the provider where its pages are; once it has answered, that stays known until the settings change.
func (p *provider) discover(ctx context.Context, of *OIDC) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil && p.of.Issuer == of.Issuer {
		return p.found, nil
	}
	// The provider goes on asking for keys when the request is over.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), of.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the provider %s: %w", of.Issuer, err)
	}
	p.of, p.found = *of, found
	return found, nil
}

func (p *provider) remember(key string, one pending, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, old := range p.pending {
		if now.After(old.until) || len(p.pending) >= mostPending {
			delete(p.pending, k)
		}
	}
	p.pending[key] = one
}

// recall takes a sign-in that was begun: it can be ended once.
func (p *provider) recall(key string, now time.Time) (pending, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.pending[key]
	delete(p.pending, key)
	return one, ok && now.Before(one.until)
}

func (s *Settings) oauth(found *oidc.Provider) *oauth2.Config {
	scopes := []string{oidc.ScopeOpenID, "profile"}
	if len(s.OIDC.Scopes) > 0 {
		scopes = s.OIDC.Scopes
	}
	if !slices.Contains(scopes, oidc.ScopeOpenID) {
		scopes = append([]string{oidc.ScopeOpenID}, scopes...)
	}
	return &oauth2.Config{
		ClientID: s.OIDC.Client, ClientSecret: s.OIDC.Secret, Endpoint: found.Endpoint(), Scopes: scopes,
		RedirectURL: strings.TrimSuffix(s.URL, "/") + CallbackPath,
	}
}

func stateCookie(c caller) string { return cookieName(c) + "-oidc" }

// BeginOIDC sets a cookie and returns the address at the provider to which to send the browser. next is where to go after that.
func (g *Guard) BeginOIDC(w http.ResponseWriter, r *http.Request, next string) (string, error) {
	s, c := g.settings.Load(), g.caller(r)
	if s.OIDC == nil {
		return "", munin.ErrNotFound
	}
	found, err := g.provider.discover(r.Context(), s.OIDC)
	if err != nil {
		return "", err
	}
	key := rand.Text() + rand.Text()
	one := pending{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), next: Next(next), until: time.Now().Add(pendingTime)}
	g.provider.remember(key, one, time.Now())
	http.SetCookie(w, cookie(stateCookie(c), key, c, int(pendingTime/time.Second)))
	return s.oauth(found).AuthCodeURL(one.state, oidc.Nonce(one.nonce), oauth2.S256ChallengeOption(one.verifier)), nil
}

// FinishOIDC ends a sign-in that the provider sent back, begins a session, and returns where to go. The error is worded for people.
func (g *Guard) FinishOIDC(w http.ResponseWriter, r *http.Request) (string, error) {
	s, c := g.settings.Load(), g.caller(r)
	if s.OIDC == nil {
		return "", munin.ErrNotFound
	}
	http.SetCookie(w, cookie(stateCookie(c), "", c, -1))
	k, err := r.Cookie(stateCookie(c))
	if err != nil {
		return "", errors.New("this browser did not begin the sign-in, or more than ten minutes ago")
	}
	one, ok := g.provider.recall(k.Value, time.Now())
	if !ok || subtle.ConstantTimeCompare([]byte(one.state), []byte(r.FormValue("state"))) != 1 {
		return "", errors.New("this sign-in was not begun here, is over, or took more than ten minutes")
	}
	if refused := r.FormValue("error"); refused != "" {
		return "", fmt.Errorf("the provider refused: %s", clip(munin.CleanText(refused+" "+r.FormValue("error_description")), maxName))
	}
	session, err := g.exchange(r.Context(), s, one, r.FormValue("code"))
	if err != nil {
		g.note(r.Context(), munin.Change{At: time.Now(), Method: ByOIDC, Address: c.address, Action: "sign in", Detail: err.Error(), Refused: true})
		return "", err
	}
	return one.next, g.begin(w, r, session)
}

// exchange has the provider say who signed in.
func (g *Guard) exchange(ctx context.Context, s *Settings, one pending, code string) (munin.Session, error) {
	var session munin.Session
	found, err := g.provider.discover(ctx, s.OIDC)
	if err != nil {
		return session, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, g.provider.client), askProvider)
	defer cancel()
	token, err := s.oauth(found).Exchange(ctx, code, oauth2.VerifierOption(one.verifier))
	if err != nil {
		return session, fmt.Errorf("the provider did not take the code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return session, errors.New("the provider sent no ID token: is the scope openid allowed to this client?")
	}
	id, err := found.Verifier(&oidc.Config{ClientID: s.OIDC.Client}).Verify(ctx, raw)
	if err != nil {
		return session, fmt.Errorf("the provider's ID token is not good: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(one.nonce)) != 1 {
		return session, errors.New("the provider's ID token is for another sign-in")
	}
	claims := make(map[string]json.RawMessage)
	if err := id.Claims(&claims); err != nil {
		return session, fmt.Errorf("the provider's ID token cannot be read: %w", err)
	}
	session.Method, session.Proof = ByOIDC, s.OIDC.Issuer
	session.Person, err = s.OIDC.person(claims)
	session.Groups = s.OIDC.teams(claims)
	return session, err
}

// person reads the name.
func (o *OIDC) person(claims map[string]json.RawMessage) (string, error) {
	claim := o.NameClaim
	if claim == "" {
		claim = "preferred_username"
	}
	var name string
	if err := json.Unmarshal(claims[claim], &name); err != nil {
		names := make([]string, 0, len(claims))
		for n := range claims {
			names = append(names, n)
		}
		slices.Sort(names)
		return "", fmt.Errorf("the provider's ID token has no text %q; set access.oidc.name_claim to one of %s", claim, strings.Join(names, ", "))
	}
	if claim == "email" {
		var verified bool
		if err := json.Unmarshal(claims["email_verified"], &verified); err != nil || !verified {
			return "", errors.New("the provider has not verified the mail address")
		}
	}
	if name = munin.CleanText(name); name == "" || len(name) > maxName {
		return "", fmt.Errorf("the provider says no usable name: %q is empty or longer than %d bytes", claim, maxName)
	}
	return name, nil
}

// teams reads the groups: a list, or a text with blanks or commas between them.
func (o *OIDC) teams(claims map[string]json.RawMessage) []string {
	claim := o.TeamClaim
	if claim == "" {
		claim = "groups"
	}
	var list []string
	if json.Unmarshal(claims[claim], &list) != nil {
		var text string
		if json.Unmarshal(claims[claim], &text) != nil {
			return nil
		}
		list = strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })
	}
	return list[:min(len(list), maxTeams)]
}
