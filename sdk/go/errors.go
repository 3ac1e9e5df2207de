package heddle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// Error is a failure with a type of its own name, which handlers of a program can tell apart.
type Error struct {
	// Type is the name that the program sees, such as "NotFound".
	Type string
	// Message is one sentence.
	Message string
	// Transient marks a failure that another attempt may cure.
	Transient bool
	// Cause is what errors.Is and errors.As look at further, or nil.
	Cause error

	stack []uintptr
}

// Errorf is a failure of a type, with its message and the place where it was made. %w keeps a cause.
func Errorf(errorType, format string, values ...any) *Error {
	wrapped := fmt.Errorf(format, values...)
	stack := make([]uintptr, 32)
	return &Error{
		Type: errorType, Message: wrapped.Error(), Cause: errors.Unwrap(wrapped),
		stack: stack[:runtime.Callers(2, stack)],
	}
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Transient marks an error as one that another attempt may cure. Errors of connections and time-outs need
// no mark.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &transient{err}
}

type transient struct{ err error }

func (t *transient) Error() string { return t.err.Error() }
func (t *transient) Unwrap() error { return t.err }

// panicked is a panic of user code, or of the SDK on its behalf.
type panicked struct {
	value any
	stack string
}

func (p *panicked) Error() string { return fmt.Sprint(p.value) }

func (p *panicked) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// guarded calls user code and turns a panic into an error.
func guarded(call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicked{value, userFrames(string(debug.Stack()))}
		}
	}()
	return call()
}

// kinded is a failure of a kind other than STEP, with the protocol's own error type.
type kinded struct {
	kind      wire.Failure_Kind
	errorType string
	message   string
}

func (k *kinded) Error() string { return k.message }

func configError(format string, values ...any) error {
	return &kinded{wire.Failure_CONFIG, "ConfigError", fmt.Sprintf(format, values...)}
}

func protocolError(format string, values ...any) error {
	return &kinded{wire.Failure_PROTOCOL, "ProtocolError", fmt.Sprintf(format, values...)}
}

func contractError(format string, values ...any) error {
	return &kinded{wire.Failure_STEP, "ContractError", fmt.Sprintf(format, values...)}
}

func expiredError(format string, values ...any) error {
	return &kinded{wire.Failure_EXPIRED, "ResourceExpired", fmt.Sprintf(format, values...)}
}

func unsupportedError(format string, values ...any) error {
	return &kinded{wire.Failure_UNSUPPORTED, "Unsupported", fmt.Sprintf(format, values...)}
}

const textBytesMax = 64 << 10

// failureOf is the error as the protocol carries it; nil for nil.
func failureOf(err error) *wire.Failure {
	if err == nil {
		return nil
	}
	failure := &wire.Failure{
		Message: clipped(err.Error()), ErrorType: errorType(err), Transient: isTransient(err),
		StackTrace: clipped(stackTrace(err)),
	}
	var kind *kinded
	if errors.As(err, &kind) {
		failure.Kind = kind.kind
	}
	return failure
}

// cancelledFailure is the failure of a call that ended because it was cancelled.
func cancelledFailure(err error) *wire.Failure {
	failure := failureOf(err)
	failure.Kind = wire.Failure_CANCELLED
	if errors.Is(err, context.Canceled) {
		failure.ErrorType = "CancelledError"
	}
	return failure
}

// errorType is the name of the first error in the chain that has one of its own.
func errorType(err error) string {
	for next := err; next != nil; next = errors.Unwrap(next) {
		switch e := next.(type) {
		case *Error:
			if e.Type != "" {
				return e.Type
			}
			continue
		case *kinded:
			return e.errorType
		case *panicked:
			if e.Unwrap() == nil {
				return "Panic"
			}
			continue
		case *transient:
			continue
		}
		named := reflect.TypeOf(next)
		if named.Kind() == reflect.Pointer {
			named = named.Elem()
		}
		switch named.PkgPath() + "." + named.Name() {
		case "fmt.wrapError", "fmt.wrapErrors", "errors.errorString", "errors.joinError", "fmt.fmtError":
		default:
			if named.Name() != "" {
				return capitalized(named.Name())
			}
		}
	}
	if errors.Is(err, context.Canceled) {
		return "CancelledError"
	}
	return "Error"
}

func capitalized(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

func isTransient(err error) bool {
	var own *Error
	if errors.As(err, &own) && own.Transient {
		return true
	}
	var marked *transient
	if errors.As(err, &marked) {
		return true
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return true
	}
	for _, known := range []error{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, os.ErrDeadlineExceeded, context.DeadlineExceeded,
		io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func stackTrace(err error) string {
	var thrown *panicked
	if errors.As(err, &thrown) {
		return thrown.stack
	}
	var own *Error
	if !errors.As(err, &own) || len(own.stack) == 0 {
		return ""
	}
	var text strings.Builder
	frames := runtime.CallersFrames(own.stack)
	for {
		frame, more := frames.Next()
		if isSDKFrame(frame.Function) {
			break
		}
		fmt.Fprintf(&text, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
		if !more {
			break
		}
	}
	return text.String()
}

// userFrames leaves of a goroutine's stack what stands between the panic and the SDK's call.
func userFrames(stack string) string {
	lines := strings.Split(strings.TrimSpace(stack), "\n")
	var kept []string
	seenPanic := false
	for i := 1; i+1 < len(lines); i += 2 {
		name := lines[i]
		switch {
		case strings.HasPrefix(name, "panic("):
			kept, seenPanic = nil, true
		case isSDKFrame(name) && seenPanic && len(kept) > 0:
			return strings.Join(kept, "\n")
		default:
			kept = append(kept, name, lines[i+1])
		}
	}
	return strings.Join(kept, "\n")
}

const sdkPath = "github.com/heddle-lang/heddle/sdk/go."

func isSDKFrame(function string) bool { return strings.HasPrefix(function, sdkPath) }

func clipped(text string) string {
	if len(text) <= textBytesMax {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return strings.ToValidUTF8(text[:textBytesMax], "") + " …"
}
