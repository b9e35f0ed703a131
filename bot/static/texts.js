/** Every word of the page itself, in both languages. What the bot says comes from the bot. */

const TEXTS = {
  zh: {
    choose: "换个人说话", log: "回想", language: "English", menu: "菜单", close: "关闭", send: "发送",
    say: "说点什么…", whom: "今夜，和谁说话？", notReal: "她们是会模仿角色说话的程序，不是真人。",
    help: "怎么用", consent: "要不要让她从我说的话里学习", export: "把关于我的一切存下来",
    reset: "从头开始聊", forget: "删除这里关于我的一切",
    resetSure: "她将不再记得之前说过的话。确定吗？", forgetSure: "会永远删除你说过的话、她们的回答和你的评价。确定吗？",
    yes: "确定", no: "算了", you: "你", good: "喜欢这句", bad: "不喜欢这句", again: "换个说法",
    lost: "连接断开了，正在重连…", back: "已重新连上", memory: "记忆暂时连不上，正在重试…",
    closed: "进不去这个页面。请允许 Cookie，再刷新一次。",
    pending: "还没送到", voteLost: "这个评价没有记上，请再点一次。", thinks: "{name}正在想",
    tooLong: "太长了，请分开发。", unread: "有新的话", to: "对{name}说…",
    unsent: "还连不上，连上后会自动送出。",
  },
  en: {
    choose: "Talk to somebody else", log: "Log", language: "中文", menu: "Menu", close: "Close", send: "Send",
    say: "Say something…", whom: "Who is it tonight?", notReal: "They are programs that speak as characters, not people.",
    help: "How this works", consent: "May she learn from what I say?", export: "Save everything about me",
    reset: "Start afresh", forget: "Delete everything about me here",
    resetSure: "She will no longer see what was said. Are you sure?",
    forgetSure: "This deletes for ever what you and they said, and your votes. Are you sure?",
    yes: "Yes", no: "No", you: "You", good: "I like this line", bad: "I do not like this line", again: "Say it another way",
    lost: "Connection lost. Trying again…", back: "Connected again", memory: "The memory cannot be reached. Trying again…",
    closed: "This page does not open. Please allow cookies and reload.",
    pending: "not delivered yet", voteLost: "That vote did not go in; please try again.",
    thinks: "{name} is thinking", tooLong: "That is too long; please send it in pieces.",
    unread: "said something new", to: "Say something to {name}…",
    unsent: "Still not connected; it will be sent by itself.",
  },
};
const KEPT = "chatnvl-language";

let language = kept() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

function kept() {
  const value = localStorage.getItem(KEPT);
  return value === "zh" || value === "en" ? value : null;
}

export const current = () => language;

export function text(key, values = {}) {
  return TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function change(to) {
  language = to;
  localStorage.setItem(KEPT, to);
}

/** Write the words into the page, below `root`. */
export function write(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const each of root.querySelectorAll("[data-text]")) each.textContent = text(each.dataset.text);
  for (const each of root.querySelectorAll("[data-placeholder]")) each.placeholder = text(each.dataset.placeholder);
  for (const each of root.querySelectorAll("[data-title]")) {
    each.title = text(each.dataset.title);
    each.setAttribute("aria-label", each.title);
  }
}
