// A bot of discord.js: says what it sees, one JSON line each; answers a DM, greets itself with a thumb.
import { Client, GatewayIntentBits, Partials } from 'discord.js';

const [rest, token] = process.argv.slice(2);
const say = (what, more = {}) => console.log(JSON.stringify({ what, ...more }));
const client = new Client({
  rest: { api: rest },
  intents: [
    GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.DirectMessages,
    GatewayIntentBits.GuildMessageReactions, GatewayIntentBits.DirectMessageReactions,
  ],
  partials: [Partials.Channel, Partials.Message, Partials.Reaction, Partials.User],
});
client.once('clientReady', () =>
  say('ready', { user: client.user.username, guilds: client.guilds.cache.map((guild) => guild.name),
    channels: client.channels.cache.map((channel) => channel.name) }));
client.on('messageCreate', async (message) => {
  if (message.author.id === client.user.id) return;
  say('message', { content: message.content, author: message.author.globalName, dm: message.channel.isDMBased(),
    mentioned: message.mentions.has(client.user), replies: message.reference?.messageId ?? null });
  if (message.content.includes('ping')) {
    const sent = await message.reply({ content: 'pong', nonce: 'n-1', enforceNonce: true });
    const again = await message.channel.send({ content: 'pong', nonce: 'n-1', enforceNonce: true });
    const edited = await sent.edit('pong!');
    await message.react('👍');
    say('sent', { same: sent.id === again.id, content: edited.content });
  }
});
client.on('messageReactionAdd', (reaction, user) => say('reaction', { emoji: reaction.emoji.name, user: user.id }));
client.on('messageReactionRemove', (reaction, user) => say('unreaction', { emoji: reaction.emoji.name, user: user.id }));
client.on('interactionCreate', async (interaction) => {
  say('interaction', { command: interaction.commandName, locale: interaction.locale });
  await interaction.reply({ content: `you said ${interaction.options.getString('text')}`, flags: 64 });
});
client.on('error', (error) => say('error', { message: error.message }));
client.ws.on?.('shardResume', () => say('resumed'));
client.on('shardResume', () => say('resumed'));
await client.login(token);
await client.application.commands.set([
  { name: 'echo', description: 'says it', options: [{ name: 'text', description: 'what', type: 3 }] },
]);
say('registered');
