package heddle

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decodeConfig reads the settings of `where`, such as "step `score`", from a JSON object into a new value of
// the Go type. Its errors are of the kind CONFIG and name the setting.
func decodeConfig(text string, spec configSpec, of reflect.Type, where string) (reflect.Value, error) {
	target := reflect.New(of).Elem()
	if text == "" {
		text = "{}"
	}
	value, err := parseJSON(text)
	if err != nil {
		return target, configError("the settings of %s are not JSON: %s", where, err)
	}
	settings, ok := value.(*object)
	if !ok {
		return target, configError("the settings of %s are %s where a dict is wanted", where, kindName(value))
	}
	if spec.open {
		target.Set(reflect.ValueOf(plain(settings)))
		return target, nil
	}
	if err := decodeFields(settings, spec.fields, target); err != nil {
		return target, configError("%s: %s", where, err)
	}
	return target, nil
}

// problem is what is wrong with a setting; path leads to it and stands between before and after.
type problem struct {
	before string
	path   string
	after  string
}

func (p *problem) Error() string { return p.before + "`" + p.path + "`" + p.after }

func wrong(format string, values ...any) error {
	return &problem{"the setting ", "", " is " + fmt.Sprintf(format, values...)}
}

// inside puts a key or an index before the path of a problem.
func inside(key string, err error) error {
	found, ok := err.(*problem)
	if !ok {
		return err
	}
	path := key
	switch {
	case strings.HasPrefix(found.path, "["):
		path += found.path
	case found.path != "":
		path += "." + found.path
	}
	return &problem{found.before, path, found.after}
}

func decodeFields(settings *object, fields []configField, target reflect.Value) error {
	for _, key := range settings.keys {
		if !slices.ContainsFunc(fields, func(f configField) bool { return f.name == key }) {
			return &problem{"", key, " is not a setting here; " + listed(fields)}
		}
	}
	for _, field := range fields {
		value, given := settings.values[field.name]
		if !given {
			if field.required {
				return &problem{"the setting ", field.name, fmt.Sprintf(" (%s) is missing", field.dtype)}
			}
			value = field.defaulted
		}
		if err := decodeValue(value, field.dtype, target.FieldByIndex(field.index)); err != nil {
			return inside(field.name, err)
		}
	}
	return nil
}

func listed(fields []configField) string {
	if len(fields) == 0 {
		return "there are none"
	}
	names := make([]string, len(fields))
	for i, field := range fields {
		names[i] = "`" + field.name + "`"
	}
	return "there are " + strings.Join(names, ", ")
}

func decodeValue(value any, dtype configType, target reflect.Value) error {
	if value == nil {
		if !dtype.nullable {
			return unfit(value, dtype)
		}
		target.SetZero()
		return nil
	}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	switch v := value.(type) {
	case bool:
		if dtype.kind == "bool" {
			target.SetBool(v)
			return nil
		}
	case json.Number:
		return decodeNumber(v, dtype, target)
	case string:
		switch dtype.kind {
		case "choice":
			if !slices.Contains(dtype.choices, any(v)) {
				return unfit(value, dtype)
			}
			fallthrough
		case "string", "statement":
			target.SetString(v)
			return nil
		}
	case []any:
		if dtype.kind == "list" {
			return decodeList(v, dtype, target)
		}
	case *object:
		switch dtype.kind {
		case "struct":
			return decodeFields(v, dtype.fields, target)
		case "map":
			return decodeMap(v, dtype, target)
		case "row":
			return decodeRowText(v, target)
		}
	}
	if dtype.kind == "any" {
		target.Set(reflect.ValueOf(plain(value)))
		return nil
	}
	return unfit(value, dtype)
}

func unfit(value any, dtype configType) error {
	return wrong("%s where %s is wanted", kindName(value), dtype)
}

func decodeNumber(number json.Number, dtype configType, target reflect.Value) error {
	switch dtype.kind {
	case "any":
		target.Set(reflect.ValueOf(plain(number)))
		return nil
	case "float":
		parsed, err := number.Float64()
		if err != nil {
			return wrong("a number that no float can hold")
		}
		target.SetFloat(parsed)
		return nil
	case "choice":
		if !slices.Contains(dtype.choices, any(number)) {
			return unfit(number, dtype)
		}
	case "int":
		if strings.ContainsAny(number.String(), ".eE") {
			return unfit(number, dtype)
		}
	default:
		return unfit(number, dtype)
	}
	if target.CanUint() {
		parsed, err := strconv.ParseUint(number.String(), 10, target.Type().Bits())
		if err != nil {
			return wrong("an int that is not in 0…2^%d-1", target.Type().Bits())
		}
		target.SetUint(parsed)
		return nil
	}
	parsed, err := strconv.ParseInt(number.String(), 10, target.Type().Bits())
	if err != nil {
		return wrong("an int that does not fit in %d bits", target.Type().Bits())
	}
	target.SetInt(parsed)
	return nil
}

func decodeList(items []any, dtype configType, target reflect.Value) error {
	result := reflect.MakeSlice(target.Type(), len(items), len(items))
	for i, item := range items {
		if err := decodeValue(item, *dtype.items, result.Index(i)); err != nil {
			return inside("["+strconv.Itoa(i)+"]", err)
		}
	}
	target.Set(result)
	return nil
}

func decodeMap(values *object, dtype configType, target reflect.Value) error {
	result := reflect.MakeMapWithSize(target.Type(), len(values.keys))
	for _, key := range values.keys {
		value := reflect.New(target.Type().Elem()).Elem()
		if err := decodeValue(values.values[key], *dtype.items, value); err != nil {
			return inside(key, err)
		}
		result.SetMapIndex(reflect.ValueOf(key).Convert(target.Type().Key()), value)
	}
	target.Set(result)
	return nil
}

func decodeRowText(columns *object, target reflect.Value) error {
	row := Row{}
	for _, name := range columns.keys {
		text, ok := columns.values[name].(string)
		if !ok {
			return inside(name, wrong("%s where a type such as \"int\" is wanted", kindName(columns.values[name])))
		}
		dtype, nullable, err := ParseType(text)
		if err != nil {
			return inside(name, wrong("no type: %s", err))
		}
		row.Columns = append(row.Columns, Column{name, dtype, nullable})
	}
	target.Set(reflect.ValueOf(row))
	return nil
}
