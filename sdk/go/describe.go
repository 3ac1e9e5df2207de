package heddle

import (
	"fmt"
	"io"
	"strings"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// describe prints what a plugin offers, for somebody who started it by hand.
func describe(out io.Writer, registry *registry) {
	plugin := registry.plugin
	title := plugin.Namespace
	if plugin.Version != "" {
		title += " " + plugin.Version
	}
	_, _ = fmt.Fprintln(out, title)
	printDoc(out, "", plugin.Doc)
	for _, name := range registry.kinds {
		resource := registry.resources[name]
		_, _ = fmt.Fprintf(out, "\nresource %s %s\n", name, configText(resource.config))
		printDoc(out, "  ", resource.doc)
	}
	for _, name := range registry.order {
		step := registry.steps[name]
		_, _ = fmt.Fprintf(out, "\nstep %s %s\n", name, configText(step.config))
		printDoc(out, "  ", step.declared.GetDoc())
		_, _ = fmt.Fprintf(out, "  %s -> %s\n", inputText(step.declared), outputText(step.declared))
		if traits := traitTexts(step.declared); len(traits) > 0 {
			_, _ = fmt.Fprintf(out, "  %s\n", strings.Join(traits, ", "))
		}
	}
	_, _ = fmt.Fprintf(out, "\nNothing needs to be started: the engine runs this plugin where a program says\n"+
		"import %q; `heddle.toml` names its folder under [plugins].\n", plugin.Namespace)
}

func printDoc(out io.Writer, indent, doc string) {
	for line := range strings.Lines(strings.TrimSpace(doc)) {
		_, _ = fmt.Fprintf(out, "%s%s\n", indent, strings.TrimSpace(line))
	}
}

func configText(config configSpec) string {
	if config.open {
		return "{..}"
	}
	parts := make([]string, len(config.fields))
	for i, field := range config.fields {
		parts[i] = field.name + ": " + field.dtype.String()
		if !field.required && !field.secret {
			parts[i] += " = " + field.defaultJSON
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func inputText(step *wire.Step) string {
	switch step.GetInputMode() {
	case "none":
		return "nothing"
	case "optional":
		return rowText(step.GetInput()) + " or nothing"
	}
	return rowText(step.GetInput())
}

func outputText(step *wire.Step) string {
	switch {
	case step.GetOutput() == nil:
		return "nothing"
	case step.GetOutputFromConfig():
		return "columns by its settings"
	}
	return rowText(step.GetOutput())
}

func rowText(row *wire.Row) string {
	decoded, err := decodedRow(row)
	if err != nil {
		return err.Error()
	}
	return decoded.String()
}

func traitTexts(step *wire.Step) []string {
	traits := []string{`rows "` + step.GetRows() + `"`}
	if step.GetPassthrough() {
		traits = append(traits, "passthrough")
	}
	for _, trait := range []struct {
		name  string
		value *bool
	}{{"deterministic", step.Deterministic}, {"idempotent", step.Idempotent}, {"effect", step.Effect}} {
		if trait.value != nil && *trait.value {
			traits = append(traits, trait.name)
		}
	}
	for _, slot := range step.GetSlots() {
		traits = append(traits, fmt.Sprintf("<%s=%s>", slot.GetName(), slot.GetResource()))
	}
	if !step.GetRunnable() {
		traits = append(traits, "declared only")
	}
	return traits
}
