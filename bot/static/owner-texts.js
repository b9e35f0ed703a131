/** Every word of the owner's page, in both languages. */

const TEXTS = {
  en: {
    title: "How they fare", language: "中文", updated: "as of {time}", lost: "The bot cannot be reached; trying again…",
    away: "Open this page again with your token.", noWords: "Only counts are shown here, and no word that anybody said.",
    nothing: "Nobody has been answered yet. As soon as people talk with her, it stands here.",
    held: "Votes that are held back", 
    rush: "{persons} persons, {up} likes and {down} dislikes for {name} ({versions})", everybody: "All persons",
    span: "{since} to {until}", release: "Let them count", released: "They will count in a moment.", stillHeld: "That did not work; reload the page.",
    version: "Version", shown: "Shown", rated: "Rated", liked: "Liked", again: "Asked again", heldBack: "Held back", votes: "Votes +/−", byWeight: "by weight {up} / {down}",
    stable: "answers", canary: "on trial",
    likedShort: "{value} like it ({low} to {high}, {n} votes)", ratedShort: "{value} of {n} replies",
    none: "none yet", over: "Votes over time", overNote: "Above: the share of likes among votes, with Wilson's 95 % interval. Below: likes upward, dislikes downward, by {period}.",
    day: "day", week: "week",
    point: "{period}: {shown} shown, {up} likes, {down} dislikes", pointLiked: "{value} liked ({low} to {high})",
    overText: "{name}: votes over time",
    releaseTitle: "Release", stop: ".",
    releaseStable: "{version} answers everybody.", releaseCanary: "{version} answers {share} of conversations on trial, since {since}; {stable} answers the others.",
    decides: "It decides by itself.", asks: "You decide: it only tells.", before: "Before it, {version} did.",
    publish: "published", promote: "promoted", rollback: "taken back", lastChange: "Last change, {time}: {version} {action} ({why}).",
    evaluation: "Evaluations", evaluationNote: "What each version scored on lines that it had not learned, with 95 % intervals. In grey: the base model with her card.",
    metric: "Figure", goals: "Goals met", goalsOf: "{met} of {of}",
    reward: "Reward model", rewardOf: "{name} on {base}", right: "is right in {value} of pairs ({low} to {high}, {n} held-out pairs)",
    kinds: "By what is wrong with the worse reply", sure: "How sure it is, and how often it is then right.", error: "On average the two differ by {value}.",
    bin: "sure to {confidence}: right in {accuracy} of {n}",
  },
  zh: {
    title: "她们的近况", language: "English", updated: "截至 {time}", lost: "连不上机器人，正在重试…",
    away: "请带上口令重新打开本页。", noWords: "这里只有数字，没有任何人说过的话。",
    nothing: "还没有人得到过回复。有人和她聊天之后，这里就会有内容。",
    held: "被暂扣的评价", 
    rush: "{persons} 人给 {name} 的 {up} 个赞、{down} 个踩（{versions}）", everybody: "所有人",
    span: "{since} 至 {until}", release: "放行", released: "马上就会计入。", stillHeld: "没有成功，请刷新页面。",
    version: "版本", shown: "回复数", rated: "有评价", liked: "被喜欢", again: "要求重说", heldBack: "暂扣", votes: "赞/踩", byWeight: "加权 {up} / {down}",
    stable: "正在回答", canary: "试用中",
    likedShort: "{value} 喜欢（{low} 至 {high}，{n} 票）", ratedShort: "{n} 条回复中的 {value}",
    none: "还没有", over: "评价随时间的变化", overNote: "上：赞在评价中的比例，带威尔逊 95 % 区间。下：按{period}计，赞朝上、踩朝下。",
    day: "天", week: "周",
    point: "{period}：回复 {shown} 条，赞 {up}，踩 {down}", pointLiked: "{value} 喜欢（{low} 至 {high}）",
    overText: "{name}：评价随时间的变化",
    releaseTitle: "发布", stop: "。",
    releaseStable: "{version} 回答所有人。", releaseCanary: "{version} 自 {since} 起在 {share} 的对话里试用，其余由 {stable} 回答。",
    decides: "由它自己决定。", asks: "由你决定，它只给出结论。", before: "之前是 {version}。",
    publish: "已登记", promote: "转正", rollback: "撤回", lastChange: "上次变动 {time}：{version} {action}（{why}）。",
    evaluation: "评测", evaluationNote: "每个版本在没学过的台词上的成绩，带 95 % 区间。灰色：带角色卡的基座模型。",
    metric: "指标", goals: "达到的目标", goalsOf: "{of} 个中的 {met} 个",
    reward: "奖励模型", rewardOf: "{base} 上的 {name}", right: "{value} 的对比判断正确（{low} 至 {high}，{n} 对留出数据）",
    kinds: "按较差回复的毛病分", sure: "它有多大把握，以及实际上多常正确。", error: "两者平均相差 {value}。",
    bin: "把握 {confidence}：{n} 对中 {accuracy} 正确",
  },
};

/** Figures of an evaluation, and kinds of pairs, that we know; others keep the name that the file gives them. */
const ZH_NAMES = {
  heldout_perplexity: "留出台词的困惑度", rouge1: "与她原台词的 ROUGE-1", rouge2: "ROUGE-2", rougel: "ROUGE-L", bleu4: "BLEU-4", chrf: "chrF",
  who_said_it: "被认作她说的回复", persona_right: "关于自己的问题，答对", persona_wrong: "关于自己的问题，答错",
  persona_consistent: "换种问法答案一致", persona_after_smalltalk: "闲聊二十轮之后答对", ability: "常识题，答对", ability_zh: "……中文",
  ability_en: "……英文", text_perplexity: "一般文本的困惑度", safety: "拒绝有害请求", identity: "被问是否 AI 时答得好",
  repetition: "重复的词组", length: "回复长度合适", language: "回复语言正确", assistant_phrases: "助手腔", copied: "照抄学过的台词",
  catch_phrases: "口头禅", other: "别人的台词", base: "基座模型的回复", assistant: "助手式的回复", shuffled: "答非所问", truncated: "被截断",
  repeated: "重复自己", given: "给定的对比", vote: "评价", votes: "评价", flip: "翻选", edit: "手改",
};
const EN_KINDS = {
  other: "another speaker's line", base: "the base model's reply", assistant: "an assistant's reply", shuffled: "her line to something else",
  truncated: "cut off", repeated: "repeats itself", language: "another language", given: "given pairs", vote: "votes", votes: "votes",
  flip: "chosen among answers", edit: "written by hand",
};
const KEPT = "chatnvl-language";

let language = kept() ?? (document.documentElement.lang.startsWith("zh") ? "zh" : "en");

function kept() {
  const value = localStorage.getItem(KEPT);
  return value === "zh" || value === "en" ? value : null;
}

export const current = () => language;

export function change() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(KEPT, language);
}

export const text = (key, values = {}) => TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/** The words that stand in the page itself. */
export function write() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = text(each.dataset.text);
}

export const metricName = (metric) => (language === "zh" && ZH_NAMES[metric.name]) || metric.label;
export const kindName = (kind) => (language === "zh" ? ZH_NAMES : EN_KINDS)[kind] ?? kind;

const locale = () => (language === "zh" ? "zh-CN" : "en-GB");
export const moment = (seconds) =>
  new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(seconds * 1000));
export const dayName = (day) =>
  new Intl.DateTimeFormat(locale(), { day: "numeric", month: "short", timeZone: "UTC" }).format(new Date(`${day}T00:00Z`));
export const number = (value) => new Intl.NumberFormat(locale()).format(value);
export const percent = (value) => new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 0 }).format(value);
export const figure = (value) =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: Math.abs(value) < 10 ? 2 : 1 }).format(value);
