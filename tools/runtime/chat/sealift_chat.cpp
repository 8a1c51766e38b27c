// llama.cpp's chat layer (its folder `common`) behind two C functions: JSON in, JSON out.
//
// Owns the border: what an operation takes and gives, and that nothing inside ends the process. Every C++ exception is
// an error value; so are deep recursion (guard.h), an operation that takes too long, one that takes too much memory,
// and llama.cpp's own assertions. Refuses to decide anything about chats: templates, the formats of tool calls,
// reasoning, partial parsing and grammars are llama.cpp's, and behave as in its server, whose
// `oaicompat_chat_params_parse` (tools/server/server-common.cpp) `apply` follows field by field.
//
// It links nothing of llama.cpp. What `common` asks of a model is little (its templates, and the texts of two tokens)
// and is answered by what `load` was given: the functions of llama.h below.

#include "chat.h"
#include "common.h"
#include "guard.h"
#include "json-schema-to-grammar.h"
#include "json.h"
#include "log.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

using json = common_json;

namespace {

constexpr size_t MOST_BYTES   = size_t(32) << 20;  // bytes of JSON; a body is smaller
constexpr size_t MOST_LEVELS = 256;               // of JSON, which llama.cpp walks by recursion
constexpr size_t STACK       = size_t(512) << 20; // of address space: what is not touched is no memory
constexpr size_t MOST_STACK   = size_t(8) << 20;   // that recursion may take on its way down
constexpr size_t MOST_HEAP    = size_t(256) << 20; // so that what is destroyed level by level fits in STACK
constexpr auto   MOST_TIME    = std::chrono::seconds(10);
constexpr int    STEPS       = 16;                // between two looks at the clock
constexpr size_t LARGE       = size_t(64) << 10;  // bytes of an allocation that may fail

struct limit_error : std::exception {
    const char * reason;

    explicit limit_error(const char * reason) : reason(reason) {}
    const char * what() const noexcept override { return reason; }
};

// Of the thread of an operation; zero in all others.
thread_local char *                                stack_top = nullptr;
thread_local std::chrono::steady_clock::time_point deadline;
thread_local int                                   steps = 0;
thread_local ptrdiff_t                             heap  = 0;
// What the operation used up first. From then on it gets nothing: llama.cpp tries a template in many ways, and takes an
// error for an answer.
thread_local const char * exceeded = nullptr;

// Note what is used up, if anything is.
void look() {
    if (exceeded != nullptr) {
        return;
    }
    if (heap > ptrdiff_t(MOST_HEAP)) {
        exceeded = "it takes too much memory";
    } else if (++steps >= STEPS) {
        steps = 0;
        if (std::chrono::steady_clock::now() > deadline) {
            exceeded = "it takes too long";
        }
    }
}

void * allocate(size_t size) {
    // Only what is large: less is also asked for where nothing may be thrown, and soon comes to a guard.
    if (stack_top != nullptr && size >= LARGE) {
        if (size > MOST_HEAP && exceeded == nullptr) {
            exceeded = "it takes too much memory";
        }
        look();
        if (exceeded != nullptr) {
            throw std::bad_alloc();
        }
    }
    void * found = std::malloc(size ? size : 1);
    if (found == nullptr) {
        throw std::bad_alloc();
    }
    heap += ptrdiff_t(malloc_usable_size(found));
    return found;
}

void release(void * given) noexcept {
    if (given != nullptr) {
        heap -= ptrdiff_t(malloc_usable_size(given));
        std::free(given);
    }
}

}  // namespace

void sealift_guard() {
    if (stack_top == nullptr) {
        return;
    }
    if (size_t(stack_top - static_cast<char *>(__builtin_frame_address(0))) > MOST_STACK && exceeded == nullptr) {
        exceeded = "it is nested too deeply, or never ends";
    }
    look();
    if (exceeded != nullptr) {
        throw limit_error(exceeded);
    }
}

void sealift_guard_nesting(const std::string & text) {
    size_t depth  = 0;
    bool   quoted = false;
    for (size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (quoted) {
            if (c == '\\') {
                ++at;
            } else if (c == '"') {
                quoted = false;
            }
        } else if (c == '"') {
            quoted = true;
        } else if ((c == '[' || c == '{') && ++depth > MOST_LEVELS) {
            throw limit_error("JSON of more than 256 levels");
        } else if ((c == ']' || c == '}') && depth > 0) {
            --depth;
        }
    }
}

// All of this library's memory, and of no other: nothing but the two functions at the end is exported.
void * operator new(size_t size) { return allocate(size); }
void * operator new[](size_t size) { return allocate(size); }
void   operator delete(void * given) noexcept { release(given); }
void   operator delete[](void * given) noexcept { release(given); }
void   operator delete(void * given, size_t) noexcept { release(given); }
void   operator delete[](void * given, size_t) noexcept { release(given); }

// ---------------------------------------------------------------------------- what `common` wants of llama.cpp

struct llama_model {
    std::string chat_template;
    std::string tool_use;
    std::string bos;
    std::string eos;
    bool        add_bos = false;
    bool        add_eos = false;
};

namespace {

const llama_model * model_of(const llama_vocab * vocab) { return reinterpret_cast<const llama_model *>(vocab); }

[[noreturn]] void not_here(const char * function) {
    throw std::logic_error(std::string(function) + " is not in this library");
}

constexpr llama_token BOS = 1;
constexpr llama_token EOS = 2;

}  // namespace

extern "C" {

// ggml's assertions are errors of an operation here.
[[noreturn]] void ggml_abort(const char * file, int line, const char * format, ...) {
    char    text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char * name = std::strrchr(file, '/');
    throw std::logic_error(std::string(name ? name + 1 : file) + ":" + std::to_string(line) + ": " + text);
}

const char * llama_model_chat_template(const llama_model * model, const char * name) {
    const std::string & found = name == nullptr ? model->chat_template : model->tool_use;
    return found.empty() ? nullptr : found.c_str();
}

const llama_vocab * llama_model_get_vocab(const llama_model * model) {
    return reinterpret_cast<const llama_vocab *>(model);
}

llama_token llama_vocab_bos(const llama_vocab * vocab) {
    return model_of(vocab)->bos.empty() ? LLAMA_TOKEN_NULL : BOS;
}

llama_token llama_vocab_eos(const llama_vocab * vocab) {
    return model_of(vocab)->eos.empty() ? LLAMA_TOKEN_NULL : EOS;
}

bool llama_vocab_get_add_bos(const llama_vocab * vocab) { return model_of(vocab)->add_bos; }
bool llama_vocab_get_add_eos(const llama_vocab * vocab) { return model_of(vocab)->add_eos; }

// Of templates that are not Jinja's.
int32_t llama_chat_apply_template(const char *, const llama_chat_message *, size_t, bool, char *, int32_t) {
    not_here("llama_chat_apply_template");
}

}  // extern "C"

std::string common_token_to_piece(const llama_vocab * vocab, llama_token token, bool) {
    return token == BOS ? model_of(vocab)->bos : model_of(vocab)->eos;
}

std::vector<llama_token> common_tokenize(const llama_vocab *, const std::string &, bool, bool) {
    not_here("common_tokenize");
}

// common.cpp has these, and everything else.
std::string string_join(const std::vector<std::string> & values, const std::string & separator) {
    std::string joined;
    for (size_t n = 0; n < values.size(); ++n) {
        joined += (n ? separator : "") + values[n];
    }
    return joined;
}

std::vector<std::string> string_split(const std::string & text, const std::string & delimiter) {
    std::vector<std::string> parts;
    size_t                   begin = 0;
    for (size_t end; (end = text.find(delimiter, begin)) != std::string::npos; begin = end + delimiter.size()) {
        parts.push_back(text.substr(begin, end - begin));
    }
    parts.push_back(text.substr(begin));
    return parts;
}

std::string string_repeat(const std::string & text, size_t count) {
    std::string repeated;
    while (count-- > 0) {
        repeated += text;
    }
    return repeated;
}

void string_replace_all(std::string & text, const std::string & from, const std::string & to) {
    if (from.empty()) {
        return;
    }
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
}

// No line of its log is asked for: the threshold is below every level.
int          common_log_get_verbosity_thold() { return -1; }
common_log * common_log_main() { return nullptr; }
void         common_log_add(common_log *, ggml_log_level, const char *, ...) {}

// ---------------------------------------------------------------------------- the operations

namespace {

struct loaded {
    llama_model               model;
    common_chat_templates_ptr templates;
};

std::mutex                                 lock;
std::map<int64_t, std::shared_ptr<loaded>> models;
int64_t                                    next_handle = 1;

// The parser of the last answer: a stream asks for the same one with every token.
std::string                             kept_text;
std::shared_ptr<const common_peg_arena> kept_arena;

std::shared_ptr<loaded> model_in(const json & given) {
    const std::lock_guard<std::mutex> held(lock);
    const auto                        found = models.find(given.at("handle").get<int64_t>());
    if (found == models.end()) {
        throw std::invalid_argument("no such handle");
    }
    return found->second;
}

std::string text_in(const json & given, const char * name) {
    return given.contains(name) && given.at(name).is_string() ? given.at(name).get<std::string>() : std::string();
}

bool switch_in(const json & given, const char * name, bool otherwise) {
    return given.contains(name) && given.at(name).is_boolean() ? given.at(name).get<bool>() : otherwise;
}

json called(const common_chat_msg & message) {
    json calls = json::array();
    for (const auto & call : message.tool_calls) {
        calls.push_back({
            { "name", call.name },
            { "arguments", call.arguments },
            { "id", call.id },
        });
    }
    return calls;
}

json load(const json & given) {
    auto made                 = std::make_shared<loaded>();
    made->model.chat_template = text_in(given, "template");
    made->model.tool_use      = text_in(given, "tool_use");
    made->model.bos           = text_in(given, "bos");
    made->model.eos           = text_in(given, "eos");
    made->model.add_bos       = switch_in(given, "add_bos", false);
    made->model.add_eos       = switch_in(given, "add_eos", false);
    made->templates           = common_chat_templates_init(&made->model, "");

    common_chat_templates_inputs inputs;
    common_chat_msg              message;
    message.role            = "user";
    message.content         = "test";
    inputs.messages         = { message };
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    common_chat_params params;
    std::string        refusal;
    try {
        params = common_chat_templates_apply(made->templates.get(), inputs);
    } catch (const std::exception & error) {
        // A template that refuses this chat by its own word is none the worse: it wants another one.
        if (std::strstr(error.what(), "Jinja Exception: ") == nullptr) {
            throw;
        }
        refusal = error.what();
    }

    const std::lock_guard<std::mutex> held(lock);
    const int64_t                     handle = next_handle++;
    models[handle]                           = made;
    return json{
        { "handle", handle },
        { "prompt", params.prompt },
        { "refusal", refusal },
        { "thinks", params.supports_thinking },
        { "caps", common_chat_templates_get_caps(made->templates.get()) },
    };
}

json unload(const json & given) {
    std::shared_ptr<loaded>           last;
    const std::lock_guard<std::mutex> held(lock);
    const auto                        found = models.find(given.at("handle").get<int64_t>());
    if (found != models.end()) {
        last = found->second;
        models.erase(found);
    }
    return json::object();
}

json triggers_of(const common_chat_params & params) {
    json triggers = json::array();
    for (const auto & trigger : params.grammar_triggers) {
        static const char * const kinds[] = { "token", "word", "pattern", "pattern_full" };
        triggers.push_back({
            { "type", kinds[trigger.type] },
            { "value", trigger.value },
        });
    }
    return triggers;
}

json apply(const json & given) {
    const auto chosen = model_in(given);
    auto       caps   = common_chat_templates_get_caps(chosen->templates.get());

    common_chat_templates_inputs inputs;
    inputs.messages    = common_chat_msgs_parse_oaicompat(given.at("messages"));
    inputs.tools       = common_chat_tools_parse_oaicompat(given.value("tools", json()));
    inputs.json_schema = given.contains("json_schema") ? given.at("json_schema").dump() : "";
    inputs.grammar     = text_in(given, "grammar");
    inputs.parallel_tool_calls   = switch_in(given, "parallel_tool_calls", caps["supports_parallel_tool_calls"]);
    inputs.add_generation_prompt = switch_in(given, "add_generation_prompt", true);
    inputs.enable_thinking       = switch_in(given, "enable_thinking", true);
    if (given.contains("continue_final_message")) {
        inputs.continue_final_message = common_chat_continuation_parse(given.at("continue_final_message"));
    }
    if (inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE) {
        inputs.add_generation_prompt = false;
        if (inputs.messages.empty() || inputs.messages.back().role != "assistant") {
            throw std::invalid_argument("continue_final_message wants the last message to be the assistant's");
        }
        if (!inputs.messages.back().tool_calls.empty()) {
            throw std::invalid_argument("an assistant message that contains tool calls cannot be continued");
        }
    }
    const std::string reasoning = text_in(given, "reasoning_format");
    inputs.reasoning_format     = common_reasoning_format_from_name(reasoning.empty() ? "auto" : reasoning);
    if (given.contains("chat_template_kwargs")) {
        for (const auto & item : given.at("chat_template_kwargs").items()) {
            inputs.chat_template_kwargs[item.key()] = item.value().dump();
        }
    }
    const std::string choice = text_in(given, "tool_choice");
    inputs.tool_choice       = common_chat_tool_choice_parse_oaicompat(choice.empty() ? "auto" : choice);

    std::string prompt;
    if (given.contains("callable_tools")) {
        // The model is told of all tools as they are, and may call these, as a grammar can hold them. No template has
        // another prompt for another choice; without one, no grammar is made of the tools as they are.
        auto told        = inputs;
        told.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
        prompt           = common_chat_templates_apply(chosen->templates.get(), told).prompt;
        inputs.tools     = common_chat_tools_parse_oaicompat(given.at("callable_tools"));
    }
    auto params = common_chat_templates_apply(chosen->templates.get(), inputs);
    if (given.contains("callable_tools")) {
        params.prompt = std::move(prompt);
    }
    // A grammar of the template's reads what the prompt ends with; a client's own, and that of a schema which the
    // template's format leaves out, do not.
    std::string prefix = params.grammar.empty() || params.grammar_lazy || !inputs.grammar.empty() ?
                             std::string() :
                             params.generation_prompt;
    if (params.grammar.empty()) {
        params.grammar = inputs.json_schema.empty() ? inputs.grammar : json_schema_to_grammar(given.at("json_schema"));
    }
    return json{
        { "prompt", params.prompt },
        { "grammar", params.grammar },
        { "grammar_prefix", prefix },
        { "grammar_lazy", params.grammar_lazy },
        { "triggers", triggers_of(params) },
        { "preserved_tokens", params.preserved_tokens },
        { "additional_stops", params.additional_stops },
        { "generation_prompt", params.generation_prompt },
        { "thinking_start", params.thinking_start_tag },
        { "thinking_ends", params.thinking_end_tags },
        { "format", static_cast<int>(params.format) },
        { "parser", params.parser },
    };
}

std::shared_ptr<const common_peg_arena> arena_of(const std::string & text) {
    {
        const std::lock_guard<std::mutex> held(lock);
        if (kept_arena && kept_text == text) {
            return kept_arena;
        }
    }
    auto made = std::make_shared<common_peg_arena>();
    if (!text.empty()) {
        made->load(text);
    }
    const std::lock_guard<std::mutex> held(lock);
    kept_text  = text;
    kept_arena = made;
    return made;
}

json parse(const json & given) {
    common_chat_parser_params params;
    const int64_t             format = given.at("format").get<int64_t>();
    if (format < 0 || format >= COMMON_CHAT_FORMAT_COUNT) {
        throw std::invalid_argument("no such format");
    }
    params.format               = static_cast<common_chat_format>(format);
    params.generation_prompt    = text_in(given, "generation_prompt");
    const std::string reasoning = text_in(given, "reasoning_format");
    params.reasoning_format     = common_reasoning_format_from_name(reasoning.empty() ? "auto" : reasoning);
    params.parse_tool_calls     = switch_in(given, "parse_tool_calls", true);
    params.is_continuation      = switch_in(given, "is_continuation", false);
    const auto arena            = arena_of(text_in(given, "parser"));
    const auto message =
        common_chat_peg_parse(*arena, text_in(given, "text"), switch_in(given, "is_partial", false), params);
    return json{
        { "content", message.content },
        { "reasoning_content", message.reasoning_content },
        { "tool_calls", called(message) },
    };
}

json grammar(const json & given) {
    return json{
        { "grammar", json_schema_to_grammar(given.at("schema")) },
    };
}

// ---------------------------------------------------------------------------- the border

struct operation {
    const char * name;
    const char * input;
    char *       output = nullptr;  // of malloc; null when not even an error could be written
};

std::string answer(const char * name, const char * input) {
    static const std::map<std::string, json (*)(const json &)> operations = {
        { "load", load }, { "unload", unload }, { "apply", apply }, { "parse", parse }, { "grammar", grammar },
    };
    const auto found = operations.find(name);
    if (found == operations.end()) {
        throw std::invalid_argument("no such operation");
    }
    if (std::strlen(input) > MOST_BYTES) {
        throw limit_error("it has more than 32 MiB");
    }
    // Bad bytes of an answer are replaced: a character's end may be still to come.
    return json{ { "ok", found->second(json::parse(input)) } }.dump_safe();
}

void run_within_limits(operation & wanted) {
    std::string text;
    const char * kind = "limit";
    try {
        text = answer(wanted.name, wanted.input);
        kind = nullptr;
    } catch (const limit_error & error) {
        stack_top = nullptr;
        text      = error.what();
    } catch (const std::bad_alloc &) {
        stack_top = nullptr;
        text      = "it takes too much memory";
    } catch (const std::exception & error) {
        stack_top = nullptr;
        text      = error.what();
        kind      = "refused";
    } catch (...) {
        stack_top = nullptr;
        text      = "an error of an unknown kind";
        kind      = "refused";
    }
    stack_top = nullptr;  // what is left to do is ours
    if (exceeded != nullptr) {
        kind = "limit";
        text = exceeded;
    }
    if (kind != nullptr) {
        text = json{ { "error", { { "kind", kind }, { "message", text } } } }.dump_safe();
    }
    wanted.output = static_cast<char *>(std::malloc(text.size() + 1));
    if (wanted.output != nullptr) {
        std::memcpy(wanted.output, text.c_str(), text.size() + 1);
    }
}

void * run(void * given) {
    deadline  = std::chrono::steady_clock::now() + MOST_TIME;
    stack_top = static_cast<char *>(__builtin_frame_address(0));
    try {
        run_within_limits(*static_cast<operation *>(given));
    } catch (...) {
        // No memory, not even to say so.
    }
    stack_top = nullptr;
    return nullptr;
}

}  // namespace

extern "C" {

// Return {"ok": ...} or {"error": {"kind": "refused" | "limit", "message": ...}}, to be given to sealift_chat_free; null
// where there is no memory, or no room for a thread, not even for that. `json` is UTF-8. Any thread may call it.
__attribute__((visibility("default"))) char * sealift_chat(const char * op, const char * json) {
    operation      wanted{ op, json };
    // A stack of its own: how deep the caller's is, and how much of it is left, is not known. Not reserved, so that it
    // counts nowhere before it is touched.
    void * stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        return nullptr;
    }
    mprotect(stack, size_t(64) << 10, PROT_NONE);  // whoever came to its end would go on in somebody's memory
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_t thread;
        if (pthread_attr_setstack(&attributes, stack, STACK) == 0 &&
            pthread_create(&thread, &attributes, run, &wanted) == 0) {
            pthread_join(thread, nullptr);
        }
        pthread_attr_destroy(&attributes);
    }
    munmap(stack, STACK);
    return wanted.output;
}

__attribute__((visibility("default"))) void sealift_chat_free(char * given) {
    std::free(given);
}

}  // extern "C"
