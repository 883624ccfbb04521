package ui

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"strings"

	"corbie/munin"
	"corbie/ui/access"
)

// maxForm is the largest form or document that is read, in bytes.
const maxForm = 256 << 10

// formCookie ties a form to the browser that was given it.
const formCookie = "corbie_form"

// forbiddenError says that a change was refused.
type forbiddenError struct{ reason string }

func (e *forbiddenError) Error() string { return e.reason }

// forms signs the tokens that stand in forms, so that no other site can send one in a reader's name.
type forms struct {
	key   []byte
	guard *http.CrossOriginProtection
}

func newForms() *forms {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return &forms{key: key, guard: http.NewCrossOriginProtection()}
}

// token is what a form of this reader has to carry; the cookie that it belongs to is set where there is none.
func (f *forms) token(w http.ResponseWriter, r *http.Request) string {
	value := cookie(r, formCookie)
	if len(value) != 32 {
		value = rand.Text() + "000000"
		value = value[:32]
		http.SetCookie(w, &http.Cookie{
			Name: formCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
		})
	}
	return f.sign(value)
}

func (f *forms) sign(value string) string {
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil))
}

// check refuses what another site's page sent, and forms without a token of this reader.
func (f *forms) check(r *http.Request) error {
	value := cookie(r, formCookie)
	if value == "" || !hmac.Equal([]byte(f.sign(value)), []byte(r.PostForm.Get("token"))) {
		return &forbiddenError{"This form is too old, or it did not come from these pages: go back, load the page anew and send it again"}
	}
	return nil
}

// change makes a handler of one that changes something: only POST, from our own pages or from a program, of limited
// size. A form needs a token; free ones change nothing but the reader's own cookies.
func (s *Server) change(p page, free bool) http.Handler {
	return s.answer(func(w http.ResponseWriter, r *http.Request) error {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		w.Header().Set("Cache-Control", "no-store")
		if err := s.forms.guard.Check(r); err != nil {
			return &forbiddenError{"This came from the page of another site"}
		}
		if err := r.ParseForm(); err != nil {
			return &badRequestError{errors.New("the form cannot be read")}
		}
		if !free {
			if err := s.forms.check(r); err != nil {
				return err
			}
		}
		if err := p(w, r); err != nil {
			return err
		}
		s.forget()
		return nil
	})
}

// program makes a handler of one that programs call to change something: they bring no cookies that could be
// misused, so that no token is needed; what a browser sends from another site is refused.
func (s *Server) program(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		w.Header().Set("Cache-Control", "no-store")
		var bad *badRequestError
		var forbidden *forbiddenError
		err := s.forms.guard.Check(r)
		if err != nil {
			err = &forbiddenError{"this came from the page of another site"}
		} else if err = p(w, r); err == nil {
			s.forget()
			return
		}
		switch {
		case errors.As(err, &bad):
			writeText(w, r, http.StatusBadRequest, err.Error()+"\n")
		case errors.As(err, &forbidden):
			writeText(w, r, http.StatusForbidden, err.Error()+"\n")
		case isNotFound(err):
			writeText(w, r, http.StatusNotFound, err.Error()+"\n")
		default:
			s.opts.Log.ErrorContext(r.Context(), "a change could not be made", "path", clip(r.URL.Path, 200), "err", err)
			writeText(w, r, http.StatusInternalServerError, "This could not be stored; the master's log says why.\n")
		}
	})
}

// may says whether the reader can change anything here, so that forms are worth showing.
func (s *Server) may(r *http.Request) bool {
	return !s.opts.Static && access.Of(r.Context()).Role >= munin.Operator
}

// author is who a change is said to be from: who signed in, else the name that was given, or the address that it came from.
func (s *Server) author(r *http.Request, given string) string {
	if p := access.Of(r.Context()); p.Name != "" {
		return p.Name
	}
	if given = strings.TrimSpace(given); given != "" {
		return given
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || host == "" {
		return "somebody"
	}
	return "somebody at " + host
}
